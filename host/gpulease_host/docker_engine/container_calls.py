"""Commands and logs of a container, over Docker: bounded in time and size, and with their streams kept apart."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from gpulease_host.docker_engine import log_frames
from gpulease_host.docker_engine.container_config import container_name
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.log_frames import Frame
from gpulease_host.engine import EngineError
from gpulease_host.reply import MOST_BYTES, cut, encoded_bytes

OUTPUT_BYTES = 64 * 1024
LOG_BYTES = 128 * 1024
LOOKED_AT_BYTES = 2 * LOG_BYTES
"""With what is around each line."""
ROOM_BYTES = MOST_BYTES - 1000
"""For texts, beside what is around them."""
STDERR = 2
NO_CONTAINER = (404, 409)
"""As Docker answers for one that is not there, and for one that does not run."""
SEPARATOR_BYTES = len(", ")
LOOK_S = 0.02
FREE_TRIES, FREE_PAUSE_S = 5, 0.2


class CallError(EngineError):
    """What a client asked cannot be done; the sentence is for the client."""

    code = "call_failed"


class _Output:
    """What a command has written so far, each stream up to its bound."""

    def __init__(self) -> None:
        self._kept = {1: bytearray(), STDERR: bytearray()}
        self.truncated = False

    def add(self, stream: int, chunk: bytes) -> None:
        kept = self._kept[STDERR if stream == STDERR else 1]
        room = OUTPUT_BYTES - len(kept)
        kept += chunk[:room]
        self.truncated = self.truncated or len(chunk) > room

    def say(self) -> dict[str, Any]:
        """Of what is too large to be answered, each stream has half of the room, or what the other leaves of it."""
        stdout, stderr = (bytes(self._kept[stream]).decode(errors="replace") for stream in (1, STDERR))
        half = ROOM_BYTES // 2
        said = {
            "stdout": cut(stdout, max(half, ROOM_BYTES - encoded_bytes(stderr))),
            "stderr": cut(stderr, max(half, ROOM_BYTES - encoded_bytes(stdout))),
        }
        return {**said, "truncated": self.truncated or said != {"stdout": stdout, "stderr": stderr}}


def run_command(
    api: DockerApi, instance_id: int, command: Sequence[str], timeout_s: int, free: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Raises EngineError. What takes too long is killed; its children are left to end with the container.

    `free` helps Docker on where it waits for a file of the container's before it begins the command.
    """
    try:
        exec_id = api.create_exec(container_name(instance_id), command)
        output = _Output()
        reader = threading.Thread(target=_read, args=(api, exec_id, output), name="exec", daemon=True)
        reader.start()
        reader.join(timeout_s)
        state = api.inspect_exec(exec_id)
        in_time = not state["Running"]
        if not in_time:
            _kill(state)
            _wait_for(reader, free)
    except RefusedError as error:
        raise CallError(f"The command could not be run: {_why(error)}", str(error)) from error
    return {"exit_code": _exit_code(api, exec_id) if in_time else None, **output.say()}


def read_logs(api: DockerApi, instance_id: int, tail: int, since: int | None, cursor: str | None) -> dict[str, Any]:
    """Raises EngineError. Of too much, the last part; after a cursor, the first."""
    try:
        kept = partial(_after, cursor) if cursor is not None else partial(log_frames.last, most_bytes=LOOKED_AT_BYTES)
        raw = api.logs(container_name(instance_id), tail if cursor is None else None, cursor or since, kept)
        lines = list(_lines(raw))
    except RefusedError as error:
        raise CallError(f"The logs could not be read: {_why(error)}", str(error)) from error
    if cursor is not None:
        lines = lines[:tail]
    items = _bounded(lines) if cursor is not None else _bounded(lines[::-1])[::-1]
    return {"items": items, "next": _stamp(items[-1]["at"]) if items else cursor}


def _after(cursor: str, sent: Iterable[Frame]) -> list[Frame]:
    """What is of the cursor's very moment comes again, such as every piece of one long line."""
    return log_frames.first((each for each in sent if _stamp(_time_of(each)) > cursor), LOOKED_AT_BYTES)


def _time_of(frame: Frame) -> str:
    return frame[1].partition(b" ")[0].decode(errors="replace")


def _why(refusal: RefusedError) -> str:
    if refusal.status in NO_CONTAINER:
        return "the instance has no container on its host that can do that now."
    return "Docker refused it. Try again, or ask the host's owner to look at Docker's log."


def _read(api: DockerApi, exec_id: str, output: _Output) -> None:
    with suppress(EngineError):
        for stream, chunk in api.start_exec(exec_id):
            output.add(stream, chunk)


def _exit_code(api: DockerApi, exec_id: str) -> int:
    """Docker notes the code a moment after the streams are closed."""
    deadline = time.monotonic() + 1
    while (state := api.inspect_exec(exec_id))["Running"] and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return int(state["ExitCode"] or 0)


def _wait_for(reader: threading.Thread, free: Callable[[], None]) -> None:
    """It may wait for one file after the other."""
    for _ in range(FREE_TRIES):
        reader.join(FREE_PAUSE_S)
        if not reader.is_alive():
            return
        free()


def _kill(state: dict[str, Any]) -> None:
    """Docker has no call for it; its word on the process is from a moment ago, while it ran."""
    if state.get("Pid"):
        with suppress(ProcessLookupError):
            os.kill(int(state["Pid"]), signal.SIGKILL)


def _lines(frames: Iterable[tuple[int, bytes]]) -> Iterator[dict[str, Any]]:
    """Docker writes a frame for each line, or 16 KiB of one, with its time in front; progress bars have \\r within."""
    for stream, frame in frames:
        line = frame.removesuffix(b"\n").removesuffix(b"\r")
        at, _, text = line.decode(errors="replace").partition(" ")
        yield {"at": at, "stream": "stderr" if stream == STDERR else "stdout", "text": text}


def _bounded(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    size = encoded = 0
    for line in lines:
        size += len(line["text"].encode()) + len(line["at"])
        encoded += encoded_bytes(line) + SEPARATOR_BYTES
        if kept and (size > LOG_BYTES or encoded > ROOM_BYTES):
            break
        kept.append(line)
    return kept


def _stamp(at: str) -> str:
    """Seconds and nanoseconds since 1970, as Docker takes them; of equal length, so that they sort as text."""
    from datetime import datetime

    whole, _, fraction = at.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(f"{whole}+00:00").timestamp())
    return f"{seconds:010d}.{fraction.ljust(9, '0')[:9]}"
