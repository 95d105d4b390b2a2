"""Wheels of the libraries that the tests run on, as they are installed here: the host program is installed from them.

So a guest needs no network for it.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from pathlib import Path

from infra.paths import HOST


def build_wheelhouse(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for line in (HOST / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            _pack(importlib.metadata.distribution(line.partition("==")[0]), folder)
    return folder


def _pack(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    name = distribution.metadata["Name"].replace("-", "_")
    tags = [line[5:] for line in (distribution.read_text("WHEEL") or "").splitlines() if line.startswith("Tag: ")]
    python, abi = tags[0].split("-")[:2]
    platform = ".".join(tag.split("-")[2] for tag in tags)
    kept = [each for each in distribution.files or () if _is_of_a_wheel(str(each))]
    record = next(each for each in distribution.files or () if each.name == "RECORD")
    lines = []
    with zipfile.ZipFile(folder / f"{name}-{distribution.version}-{python}-{abi}-{platform}.whl", "w") as wheel:
        for each in kept:
            body = Path(str(each.locate())).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
            wheel.writestr(str(each), body)
            lines.append(f"{each},sha256={digest},{len(body)}")
        wheel.writestr(str(record), "\n".join([*lines, f"{record},,", ""]))


def _is_of_a_wheel(path: str) -> bool:
    """Scripts and what pip itself has added are made anew."""
    made = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json", ".pyc")
    return not path.startswith("..") and not path.endswith(made)
