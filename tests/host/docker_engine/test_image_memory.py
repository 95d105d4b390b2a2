"""What is remembered of images outlives the daemon, and what cannot be read proves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpulease_host.docker_engine.image_memory import USE_WRITTEN_EVERY_S, ImageMemory
from gpulease_host.engine import EngineError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images"


def test_what_was_noted_is_there_after_a_restart(path: Path) -> None:
    clock = Clock()
    memory = ImageMemory(path, clock)
    memory.note_login("r/private")
    memory.note_pulled("r/private:1", "r/other:1")
    memory.forget("r/other:1")
    memory.promise(7, 500)
    again = ImageMemory(path, clock)
    assert again.needs_login("r/private")
    assert not again.needs_login("r/other")
    assert again.unused_for(0) == ["r/private:1"]
    assert again.promised_bytes(7) == 500
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_was_let_in_without_a_login_shows_that_it_is_public(path: Path) -> None:
    memory = ImageMemory(path, Clock())
    memory.note_login("r/x")
    memory.note_public("r/x")
    assert not ImageMemory(path, Clock()).needs_login("r/x")


def test_the_longest_unused_comes_first_and_what_is_in_use_not_at_all(path: Path) -> None:
    clock = Clock()
    memory = ImageMemory(path, clock)
    for image in ("a", "b", "c"):
        memory.note_pulled(image)
        clock.now += 100
    memory.note_used("a")
    memory.note_used("not ours")
    clock.now += 150
    assert memory.unused_for(150) == ["b", "c", "a"]
    assert memory.unused_for(200) == ["b", "c"]


def test_a_use_is_written_now_and_then(path: Path) -> None:
    clock = Clock()
    memory = ImageMemory(path, clock)
    memory.note_pulled("a")
    clock.now += 10
    memory.note_used("a")
    assert json.loads(path.read_bytes())["pulled"] == {"a": 1000}
    clock.now += USE_WRITTEN_EVERY_S + 1
    memory.note_used("a")
    assert json.loads(path.read_bytes())["pulled"] == {"a": int(clock.now)}


def test_what_a_host_promised_stands_until_another_host_comes(path: Path) -> None:
    memory = ImageMemory(path, Clock())
    memory.promise(7, 500)
    memory.promise(7, 900)
    assert memory.promised_bytes(7) == 500
    memory.promise(8, 900)
    assert (memory.promised_bytes(7), memory.promised_bytes(8)) == (0, 900)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pulled": {"a": "x"}}', b'{"with_login": 7}'])
def test_a_file_that_cannot_be_read_lets_nothing_start_unasked(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    memory = ImageMemory(path, Clock())
    assert memory.needs_login("r/any")
    memory.note_login("r/private")
    assert ImageMemory(path, Clock()).needs_login("r/any"), "also after it was written anew"


def test_what_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    memory = ImageMemory(tmp_path / "gone" / "images", Clock())
    with pytest.raises(EngineError, match="images"):
        memory.note_login("r/private")
