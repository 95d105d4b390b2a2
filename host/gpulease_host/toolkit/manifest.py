"""Proof of a build: the SHA-256 of each file. A toolkit with one file changed is not used."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from gpulease_host.toolkit.errors import ToolkitError

MANIFEST = "manifest.json"


def write(root: Path) -> None:
    listed = {str(path.relative_to(root)): _digest(path) for path in _files(root)}
    (root / MANIFEST).write_text(json.dumps({"v": 1, "files": listed}, indent=0))


def verify(root: Path) -> int:
    """The number of files. Raises ToolkitError naming the first that differs."""
    try:
        listed = json.loads((root / MANIFEST).read_bytes())["files"]
    except (OSError, ValueError, LookupError, TypeError):
        listed = None
    if not isinstance(listed, dict):
        raise ToolkitError(f"The toolkit in {root} has no manifest.")
    found = {str(path.relative_to(root)) for path in _files(root)}
    for name in sorted(found ^ listed.keys()):
        raise ToolkitError(f"{name} of the toolkit is {'missing' if name in listed else 'not in its manifest'}.")
    for name, digest in listed.items():
        if _digest(root / name) != digest:
            raise ToolkitError(f"{name} of the toolkit was changed.")
    return len(listed)


def size_bytes(root: Path) -> int:
    return sum(path.lstat().st_size for path in _files(root))


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        yield from (path for name in sorted(names) if (path := Path(folder) / name) != root / MANIFEST)


def _digest(path: Path) -> str:
    """A link by what it says."""
    content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
    return hashlib.sha256(content).hexdigest()
