"""Whether Docker has not answered for so long that nobody is to rent here meanwhile: a start could only wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

DOWN_AFTER_S = 30.0
"""Docker is restarted in less."""


@dataclass
class DockerDown:
    elapsed: Callable[[], float]
    """Monotonic seconds."""
    _since: float | None = field(default=None, init=False)
    _reason: str = field(default="", init=False)

    @property
    def fault(self) -> str | None:
        if self._since is None or self.elapsed() - self._since < DOWN_AFTER_S:
            return None
        return f"Docker does not answer; start it: systemctl start docker. {self._reason}"

    def failed(self, asked_at: float, reason: str) -> None:
        """`asked_at`: one that hangs lets minutes pass until that is an error."""
        self._since, self._reason = asked_at if self._since is None else self._since, reason

    def answered(self) -> None:
        self._since = None
