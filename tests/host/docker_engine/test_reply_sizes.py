"""Whatever an instance writes, the answer about it can be stored; what had to be left out is said."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gpulease_host.docker_engine.container_calls import LOG_BYTES, OUTPUT_BYTES, read_logs, run_command
from gpulease_host.docker_engine.docker_api import DockerApi, Json
from gpulease_host.docker_engine.log_frames import Frame
from gpulease_host.machine_key import seal_reply, to_b64
from gpulease_host.reply import MOST_BYTES, cut, encode, encoded_bytes
from rental.api.limits import MAX_REPLY

AT = "2026-01-01T00:00:00.123456789Z"
NOISE = random.Random(1).randbytes(OUTPUT_BYTES)
KEY = to_b64(X25519PrivateKey.generate().public_key().public_bytes_raw())


class Writing(DockerApi):
    """A Docker whose containers write this to both streams, or have these lines in their log."""

    def __init__(self, stdout: bytes = b"", stderr: bytes = b"", lines: Sequence[str] = ()) -> None:
        super().__init__("unix:///nowhere")
        self._pieces = [(1, stdout), (2, stderr)]
        self._lines = lines

    def create_exec(self, container: str, command: Sequence[str]) -> str:
        return "exec"

    def start_exec(self, exec_id: str) -> Iterator[tuple[int, bytes]]:
        return iter(self._pieces)

    def inspect_exec(self, exec_id: str) -> Json:
        return {"Running": False, "ExitCode": 0}

    def logs(
        self, container: str, tail: int | None, since: int | str | None, keep: Callable[[Iterable[Frame]], list[Frame]]
    ) -> list[Frame]:
        return keep((1, f"{AT} {line}\n".encode()) for line in self._lines)


def fits(said: object) -> bool:
    return encoded_bytes(said) <= MOST_BYTES and len(seal_reply(KEY, "c" * 43, encode(said))) <= MAX_REPLY


@pytest.mark.parametrize("written", [NOISE, b"\0" * OUTPUT_BYTES, b'"' * OUTPUT_BYTES, "ж".encode() * OUTPUT_BYTES])
def test_what_a_command_writes_fits_however_it_is_encoded(written: bytes) -> None:
    for stdout, stderr in [(written, b""), (b"", written), (written, written)]:
        ran = run_command(Writing(stdout, stderr), 1, ["true"], 5)
        assert fits(ran)
        whole = [len(each.decode(errors="replace")) for each in (stdout, stderr)]
        assert ran["truncated"] is ([len(ran["stdout"]), len(ran["stderr"])] != whole)


def test_plain_output_is_whole_up_to_what_is_promised() -> None:
    text = ("word " * OUTPUT_BYTES)[: OUTPUT_BYTES - 1] + "\n"
    ran = run_command(Writing(text.encode(), text.encode()), 1, ["true"], 5)
    assert (ran["stdout"], ran["stderr"], ran["truncated"]) == (text, text, False)


def test_a_stream_has_the_room_that_the_other_leaves() -> None:
    ran = run_command(Writing(b"\0" * OUTPUT_BYTES, b"short"), 1, ["true"], 5)
    assert ran["stderr"] == "short"
    assert encoded_bytes(ran["stdout"]) > 0.9 * MOST_BYTES
    assert ran["truncated"] is True


@pytest.mark.parametrize("line", ["ж" * 120, "█" * 60 + "a" * 40, "中" * 100, "\0" * 200, '"' * 1000, "x"])
def test_a_page_of_a_log_fits_and_the_next_goes_on(line: str) -> None:
    items = read_logs(Writing(lines=[line] * 1000), 1, 1000, None, None)["items"]
    assert fits({"items": items, "next": AT})
    assert items
    assert {each["text"] for each in items} == {line}


def test_a_log_in_any_script_is_read_as_far_as_is_promised() -> None:
    items = read_logs(Writing(lines=["ж" * 120] * 1000), 1, 1000, None, None)["items"]
    read = sum(len(each["text"].encode()) + len(each["at"]) for each in items)
    assert LOG_BYTES - 300 < read <= LOG_BYTES


def test_a_text_is_cut_to_what_it_takes_when_it_is_sent() -> None:
    assert cut('ab"cd', encoded_bytes('ab"')) == 'ab"'
    assert cut('ab"cd', encoded_bytes('ab"') - 1) == "ab"
    assert cut("жж", 5) == "ж"
    assert cut("жж", 2) == ""
