"""What a toolkit was made of: noted while it is built, held to what is there since.

Each file that was copied is known by its size and time, so that the hourly look reads none of them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from gpulease_host.toolkit import packages

ORIGINS = "origins.json"
Seen = tuple[int, int]
"""Size and time of change, in nanoseconds."""


class Origins:
    """Of one build. What changes after it was noted makes that build old."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint
        self._seen: dict[str, Seen] = {}

    def copy(self, original: str | Path, ours: str | Path) -> None:
        """Raises OSError."""
        self._seen.setdefault(str(original), _look(original))
        shutil.copyfile(original, ours)

    def write(self, root: Path) -> None:
        said = {"v": 1, "fingerprint": self._fingerprint, "files": dict(sorted(self._seen.items()))}
        (root / ORIGINS).write_text(json.dumps(said, indent=0))


def name_if_fresh(root: Path, fingerprint: Callable[[], str] = packages.fingerprint) -> str | None:
    """The name of the toolkit in this folder, or None when anything that it was made of is another by now."""
    try:
        content = (root / ORIGINS).read_bytes()
        said = json.loads(content)
        noted = {str(path): tuple(seen) for path, seen in said["files"].items()}
        if said["fingerprint"] != fingerprint() or any(_look(path) != seen for path, seen in noted.items()):
            return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # no such note, or a file that is gone
        return None
    return hashlib.sha256(content).hexdigest()[:16]


def _look(path: str | Path) -> Seen:
    """Of the file behind a link: a library's name leads to its newest."""
    seen = Path(path).stat()
    return seen.st_size, seen.st_mtime_ns
