"""The journal file under crashes: a torn tail is nothing, damage elsewhere is a lost journal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpulease_host.journal import Journal, JournalError
from tests.host.orders import HOST_ID, NOW


def write(path: Path, *entries: dict[str, int]) -> None:
    journal, _ = Journal.open(path, HOST_ID, NOW)
    for entry in entries:
        journal.append(entry)
    journal.close()


def entries(path: Path) -> list[dict[str, int]]:
    journal, replay = Journal.open(path, HOST_ID, NOW)
    journal.close()
    assert replay.lost is None
    return [dict(each) for each in replay.entries]


def lost(path: Path) -> str | None:
    journal, replay = Journal.open(path, HOST_ID, NOW)
    journal.close()
    return replay.lost


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "journal"


def test_what_was_appended_is_replayed(path: Path) -> None:
    write(path, {"a": 1}, {"a": 2})
    assert entries(path) == [{"a": 1}, {"a": 2}]


def test_only_root_reads_it(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b"0", b"00000000 {", b'12345678 {"a":3}\n', b"\0" * 40])
def test_a_torn_last_line_is_dropped_and_written_over(path: Path, torn: bytes) -> None:
    write(path, {"a": 1})
    with path.open("ab") as file:
        file.write(torn)
    assert entries(path) == [{"a": 1}]
    write(path, {"a": 2})
    assert entries(path) == [{"a": 1}, {"a": 2}]


@settings(deadline=None)
@given(st.data())
def test_cut_anywhere_after_its_header_it_keeps_a_prefix(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cut") / "journal"
    Journal.create(path, HOST_ID)
    header = path.stat().st_size
    write(path, *({"a": n} for n in range(5)))
    os.truncate(path, data.draw(st.integers(header, path.stat().st_size)))
    found = entries(path)
    assert found == [{"a": n} for n in range(len(found))]


def test_damage_in_the_middle_is_a_lost_journal_kept_aside(path: Path) -> None:
    write(path, {"a": 1}, {"a": 2})
    content = path.read_bytes().replace(b'{"a":1}', b'{"a":9}')
    path.write_bytes(content)
    assert lost(path) == "the journal is damaged"
    assert (path.parent / f"journal.lost-{NOW}").read_bytes() == content
    assert lost(path) is None


@pytest.mark.parametrize("content", [b"", b"torn"])
def test_a_journal_without_a_header_is_lost(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert lost(path) == "the journal is damaged"


def test_a_missing_journal_is_lost(path: Path) -> None:
    path.unlink()
    assert lost(path) == "there is no journal"


def test_the_journal_of_another_host_is_lost(path: Path) -> None:
    Journal.create(path, HOST_ID + 1)
    assert lost(path) == "the journal is of another host or version"


def test_rewriting_keeps_what_is_given_and_goes_on(path: Path) -> None:
    journal, _ = Journal.open(path, HOST_ID, NOW)
    for n in range(100):
        journal.append({"a": n})
    journal.rewrite(HOST_ID, [{"a": 99}])
    journal.append({"a": 100})
    journal.close()
    assert entries(path) == [{"a": 99}, {"a": 100}]


def test_a_write_that_fails_leaves_nothing_behind(path: Path) -> None:
    journal, _ = Journal.open(path, HOST_ID, NOW)
    journal.append({"a": 1})
    good = journal._descriptor
    journal._descriptor = os.open(path, os.O_RDONLY)
    with pytest.raises(JournalError):
        journal.append({"a": 2})
    journal._descriptor = good
    journal.append({"a": 3})
    journal.close()
    assert entries(path) == [{"a": 1}, {"a": 3}]
