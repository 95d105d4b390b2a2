"""How far a pull is, from the lines that Docker writes while it pulls.

    {"status": "Pulling fs layer", "progressDetail": {}, "id": "efb7c6837631"}
    {"status": "Downloading", "progressDetail": {"current": 65536, "total": 6293587}, "id": "efb7c6837631"}
    {"status": "Retrying in 5 seconds", "progressDetail": {}, "id": "efb7c6837631"}
    {"errorDetail": {"message": "unexpected EOF"}, "error": "unexpected EOF"}

Docker answers 200 before it knows whether the pull succeeds: a line with an error is a failure all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpulease_host.engine import Progress

MIB = 1 << 20
_KNOWN = frozenset({"Pulling fs layer", "Waiting", "Downloading", "Verifying Checksum"})
_DOWNLOADED = frozenset({"Download complete", "Extracting"})
_DONE = frozenset({"Pull complete", "Already exists"})


class PullFailedError(Exception):
    """Docker gave the pull up; the message is Docker's."""


@dataclass
class _Layer:
    done_bytes: int = 0
    total_bytes: int = 0
    is_downloaded: bool = False
    is_done: bool = False
    is_retried: bool = False


@dataclass
class PullState:
    """What the lines so far say."""

    _layers: dict[str, _Layer] = field(default_factory=dict)

    def take(self, line: Mapping[str, Any]) -> None:
        """Raises PullFailedError. What is not understood says nothing."""
        if line.get("error"):
            raise PullFailedError(str(line["error"]))
        status, layer_id = str(line.get("status", "")), line.get("id")
        is_retried = status.startswith("Retrying in ")
        if not isinstance(layer_id, str) or not (status in _KNOWN | _DOWNLOADED | _DONE or is_retried):
            return
        layer = self._layers.setdefault(layer_id, _Layer())
        layer.is_retried = is_retried
        if status == "Downloading":
            layer.done_bytes, layer.total_bytes = _figures(line.get("progressDetail"))
        if status in _DOWNLOADED | _DONE:
            layer.done_bytes, layer.is_downloaded = layer.total_bytes, True
        layer.is_done = layer.is_done or status in _DONE

    @property
    def progress(self) -> Progress:
        layers = self._layers.values()
        return Progress(
            layers_done=sum(layer.is_done for layer in layers),
            layers=len(layers),
            done_bytes=sum(layer.done_bytes for layer in layers),
            total_bytes=sum(layer.total_bytes for layer in layers),
        )

    @property
    def layers(self) -> int:
        return len(self._layers)

    @property
    def announced(self) -> tuple[int, int]:
        """Changes with each layer, and with each size, that is told of."""
        return len(self._layers), sum(layer.total_bytes for layer in self._layers.values())

    @property
    def sentence(self) -> str:
        layers, now = self._layers.values(), self.progress
        if not layers:
            return "Pulls its image: asks the registry."
        counted = f"{now.layers_done} of {now.layers} layers"
        if any(layer.is_retried for layer in layers):
            return f"Pulls its image: {counted}. The registry broke off, and is asked again."
        if all(layer.is_downloaded for layer in layers):
            return f"Pulls its image: {counted}" + (", unpacks." if now.layers_done < now.layers else ".")
        return f"Pulls its image: {counted}, {_mib(now.done_bytes)} of {_mib(now.total_bytes)} MiB."


def _figures(detail: Any) -> tuple[int, int]:
    """A registry that does not tell a size leaves the total at 0."""
    detail = detail if isinstance(detail, dict) else {}
    done, total = detail.get("current", 0), detail.get("total", 0)
    if type(done) is not int or type(total) is not int or done < 0:
        return 0, 0
    return done, max(done, total)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f}"
