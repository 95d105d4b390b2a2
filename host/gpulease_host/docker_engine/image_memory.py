"""What a host must remember of images, in one small file that is replaced as a whole.

- `with_login`: repositories that were pulled from with a login. What is here of them starts only for who is let in.
- `pulled`: what this host pulled, and when that was last used. Nothing else is ever removed: it is the owner's.
- `promised`: the disk that this host offers tenants, which images must leave alone.

A file that cannot be read proves nothing, so from then on whatever starts must be let in by its registry.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpulease_host.engine import EngineError
from gpulease_host.files import write_durably

USE_WRITTEN_EVERY_S = 600
"""A use that is forgotten by a crash is this old at most."""


@dataclass
class _Content:
    with_login: list[str] = field(default_factory=list)
    pulled: dict[str, int] = field(default_factory=dict)
    promised: dict[str, int] = field(default_factory=dict)
    is_damaged: bool = False


class ImageMemory:
    """Without a path it forgets with the process. `now` is epoch seconds."""

    def __init__(self, path: Path | None, now: Callable[[], float]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._content = _load(path)

    def needs_login(self, repository: str) -> bool:
        """Whether an image of it that is here may start only for who its registry lets in."""
        with self._lock:
            return self._content.is_damaged or repository in self._content.with_login

    def note_login(self, repository: str) -> None:
        """Before anything of it comes here. Raises EngineError when that cannot be kept."""
        with self._lock:
            if repository not in self._content.with_login:
                self._content.with_login.append(repository)
                self._write()

    def note_public(self, repository: str) -> None:
        """Its registry let somebody in without a login."""
        with self._lock:
            if repository in self._content.with_login:
                self._content.with_login.remove(repository)
                self._write()

    def note_pulled(self, *images: str) -> None:
        with self._lock:
            self._content.pulled |= dict.fromkeys(images, int(self._now()))
            self._write()

    def note_used(self, image: str) -> None:
        """Says nothing of an image that this host did not pull."""
        with self._lock:
            last, now = self._content.pulled.get(image), int(self._now())
            if last is not None:
                self._content.pulled[image] = now
                if now - last > USE_WRITTEN_EVERY_S:
                    self._write()

    def unused_for(self, seconds: float) -> list[str]:
        """What this host pulled and nobody has used for so long, the longest unused first."""
        with self._lock:
            before = self._now() - seconds
            old = [(last, image) for image, last in self._content.pulled.items() if last <= before]
            return [image for _, image in sorted(old)]

    def forget(self, image: str) -> None:
        with self._lock:
            if self._content.pulled.pop(image, None) is not None:
                self._write()

    def promise(self, host_id: int, disk_bytes: int) -> None:
        """What a host offers is settled when it is first asked; a new host on the same machine settles anew."""
        with self._lock:
            if str(host_id) not in self._content.promised:
                self._content.promised = {str(host_id): disk_bytes}
                self._write()

    def promised_bytes(self, host_id: int) -> int:
        with self._lock:
            return self._content.promised.get(str(host_id), 0)

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            write_durably(self._path, json.dumps({"v": 1, **asdict(self._content)}).encode(), mode=0o600)
        except OSError as error:
            raise EngineError(f"{self._path} cannot be written: {error}") from error


def _load(path: Path | None) -> _Content:
    try:
        body = {} if path is None else json.loads(path.read_bytes())
        return _Content(
            with_login=[str(each) for each in body.get("with_login", [])],
            pulled=_integers(body.get("pulled", {})),
            promised=_integers(body.get("promised", {})),
            is_damaged=bool(body.get("is_damaged", False)),
        )
    except FileNotFoundError:
        return _Content()
    except (OSError, ValueError, TypeError, AttributeError):
        return _Content(is_damaged=True)


def _integers(values: Any) -> dict[str, int]:
    return {str(name): int(value) for name, value in values.items()}
