"""The host program as one wheel, made at synthesis by hand: no build tool, no network, the same bytes everywhere.

It requires every library by exact version (`host/requirements.txt`), and its own version ends in a hash of what is in
it: pip replaces an installed one exactly when something has changed. The installer travels inside, so that whoever
serves the wheel has the installer that belongs to it.
"""

import base64
import hashlib
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from infra.paths import HOST

INSTALLER = "gpulease_host/install.sh"
# The first moment that a zip can name: times of files must not make one checkout differ from another.
EPOCH = (1980, 1, 1, 0, 0, 0)
READABLE = 0o100644 << 16


@dataclass(frozen=True)
class HostPackage:
    """A wheel and the name that pip wants it to have."""

    file_name: str
    body: bytes


def build_host_package(source: Path = HOST) -> HostPackage:
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    pins = [line for line in (source / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    files = dict(_files(source))
    version = f"{project['version']}+h{_digest(files, pins)[:12]}"
    name = f"{project['name'].replace('-', '_')}-{version}"
    files |= {f"{name}.dist-info/{entry}": text.encode() for entry, text in _metadata(project, version, pins).items()}
    record = f"{name}.dist-info/RECORD"
    return HostPackage(f"{name}-py3-none-any.whl", _zip(files | {record: _record(files, record)}))


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted((source / "gpulease_host").rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            yield path.relative_to(source).as_posix(), path.read_bytes()
    yield INSTALLER, join_installer(source).encode()


def join_installer(source: Path = HOST) -> str:
    """The one text that machines run: `install.sh`, and each part where its name stands."""
    text = (source / "install.sh").read_text()
    for part in sorted((source / "installer").glob("*.sh")):
        text = text.replace(f"# @{part.name}@\n", f"\n{part.read_text()}")
    return text


def _digest(files: dict[str, bytes], pins: list[str]) -> str:
    digest = hashlib.sha256("\n".join(pins).encode())
    for name, body in sorted(files.items()):
        digest.update(f"\0{name}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()


def _metadata(project: dict[str, Any], version: str, pins: list[str]) -> dict[str, str]:
    facts = [("Name", project["name"]), ("Version", version), ("Summary", project["description"])]
    facts += [("Requires-Python", project["requires-python"]), *(("Requires-Dist", pin) for pin in pins)]
    scripts = [f"{name} = {function}" for name, function in project["scripts"].items()]
    return {
        "METADATA": "".join(f"{name}: {value}\n" for name, value in [("Metadata-Version", "2.1"), *facts]),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: gpulease\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "\n".join(["[console_scripts]", *scripts, ""]),
    }


def _record(files: dict[str, bytes], own_name: str) -> bytes:
    """The list of all files with their hashes, itself without one, as the format wants it."""
    lines = [f"{name},sha256={_base64(hashlib.sha256(body).digest())},{len(body)}" for name, body in files.items()]
    return "\n".join([*lines, f"{own_name},,", ""]).encode()


def _base64(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _zip(files: dict[str, bytes]) -> bytes:
    """Stored, not compressed: what a compressor makes of the same bytes depends on its version."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, body in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, whatever machine this runs on
            entry.external_attr = READABLE
            archive.writestr(entry, body)
    return buffer.getvalue()
