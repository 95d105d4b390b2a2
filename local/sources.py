"""Fingerprints of source files: what a template was synthesized from, what a running process was started from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

IGNORED_PARTS = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache"})
DIGITS = 24


def fingerprint(root: Path, names: Iterable[str], *, context: str = "") -> str:
    """One short text for these files and folders of `root`, and for whatever else decides what they become."""
    digest = hashlib.sha256(context.encode())
    for path in _files(root, names):
        digest.update(f"\0{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:DIGITS]


def _files(root: Path, names: Iterable[str]) -> Iterator[Path]:
    for name in names:
        source = root / name
        if source.is_file():
            yield source
        for path in sorted(source.rglob("*")) if source.is_dir() else ():
            if path.is_file() and not IGNORED_PARTS.intersection(path.parts):
                yield path
