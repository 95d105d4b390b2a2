"""Builds the dependency layer for Lambda (Python 3.13, arm64) with pip alone: `python -m infra.layer`.

No container and no arm64 machine: pip fetches wheels for the platform, and refuses what has none. Bytecode is compiled
with unchecked hashes, because Lambda unpacks files with new times and Python would compile everything again on each
cold start. Bytecode is bound to the interpreter's version, so this needs a python3.13; without one the layer works all
the same, its cold start about twice as long, and the build says so.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.paths import CONSTRAINTS, LAYER, REQUIREMENTS, ROOT

PYTHON = "3.13"
PLATFORMS = ("manylinux2014_aarch64", "manylinux_2_28_aarch64")
STAMP = "FINGERPRINT"
MOUNTED_AT = "/opt/python"

Run = Callable[[Sequence[str]], int]


class LayerMissingError(RuntimeError):
    """A stage that needs the layer is synthesized without it."""


class LayerBuildError(RuntimeError):
    """pip could not gather the layer."""


def fingerprint() -> str:
    """Names the layer by what goes into it: the wanted packages, their versions, the platform."""
    digest = hashlib.sha256()
    for source in (REQUIREMENTS, CONSTRAINTS):
        digest.update(source.read_bytes() + b"\0")
    digest.update(" ".join((PYTHON, *PLATFORMS)).encode())
    return digest.hexdigest()


def built_fingerprint(layer: Path) -> str | None:
    stamp = layer / STAMP
    return stamp.read_text().strip() if stamp.exists() else None


def build(run: Run, layer: Path = LAYER, python: str | None = None) -> str:
    """Builds the layer afresh and returns a sentence on its bytecode. Half a layer is never left behind."""
    shutil.rmtree(layer, ignore_errors=True)
    packages = layer / "python"
    if run(pip_command(packages)) != 0:
        shutil.rmtree(layer, ignore_errors=True)
        raise LayerBuildError("pip could not gather the layer; its own message stands above")
    _leave_out(packages)
    note = _compile(run, packages, python)
    (layer / STAMP).write_text(fingerprint() + "\n")
    return note


def pip_command(target: Path) -> list[str]:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"),
        *("--target", str(target), "--implementation", "cp", "--python-version", PYTHON),
        *("--only-binary", ":all:", *platforms),
        *("--requirement", str(REQUIREMENTS), "--constraint", str(CONSTRAINTS)),
    ]


def _leave_out(packages: Path) -> None:
    """Scripts and type stubs are of no use in a function."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for stub in packages.rglob("*.pyi"):
        stub.unlink()


def _compile(run: Run, packages: Path, python: str | None) -> str:
    if python is None:
        return f"Built without bytecode: no python{PYTHON} here. Cold starts take about twice as long."
    # Paths in the bytecode are those in Lambda, so that a traceback names a file that exists there.
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(packages), "-p", MOUNTED_AT]
    if run([python, "-m", "compileall", *options, str(packages)]) != 0:
        raise LayerBuildError("a package of the layer does not compile; the message stands above")
    return f"Built with bytecode of Python {PYTHON}."


def find_python(run: Run) -> str | None:
    """A python3.13 that really starts: version managers leave commands of that name that only print an error."""
    found = shutil.which(f"python{PYTHON}")
    works = found and run([found, "-c", f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{PYTHON}')"]) == 0
    return found if works else None


def _run(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False).returncode


def _run_quietly(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


def main() -> int:
    try:
        note = build(_run, python=find_python(_run_quietly))
    except LayerBuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{LAYER.relative_to(ROOT)}: {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
