"""The journal file: what is read back is the last state of each item, whatever happened while it was written."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from local.cloud import journal
from local.cloud.journal import Effect, Journal, JournalError


def effect(name: str, value: str | None) -> Effect:
    key = {"pk": {"S": name}}
    return Effect("T", key, None if value is None else {**key, "value": {"S": value}})


def append_all(path: Path, *lines: list[Effect]) -> None:
    async def run() -> None:
        opened = Journal(path)
        for line in lines:
            await opened.sync(opened.append(line))
        opened.close()

    asyncio.run(run())


def test_the_last_effect_on_an_item_wins(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    append_all(path, [effect("a", "1"), effect("b", "1")], [effect("a", "2")], [effect("b", None)])
    assert journal.load(path) == [effect("a", "2"), effect("b", None)]


def test_a_half_written_last_line_was_never_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    append_all(path, [effect("a", "1")])
    with path.open("ab") as file:
        file.write(b'[["T",{"pk":{"S":"b"}},nul')
    assert journal.load(path) == [effect("a", "1")]


def test_a_damaged_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"not json\n")
    with pytest.raises(JournalError, match="damaged"):
        journal.load(path)


def test_a_number_is_one_key_however_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    append_all(path, [Effect("T", {"id": {"N": "7"}}, {"id": {"N": "7"}})], [Effect("T", {"id": {"N": "7.0"}}, None)])
    assert [one.item for one in journal.load(path)] == [None]


def test_a_rewritten_journal_holds_the_same_state(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    append_all(path, [effect("a", "1")], [effect("a", "2"), effect("b", "3")])
    before = journal.load(path)
    journal.rewrite(path, before)
    assert journal.load(path) == before


def test_a_grown_journal_is_folded_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    async def run() -> None:
        opened = Journal(path, compact_above_bytes=1000)
        for count in range(300):
            position = opened.append([effect("a", str(count)), effect(f"gone-{count}", None)])
            await opened.compact_if_grown()
            await opened.sync(position)
        opened.close()

    asyncio.run(run())
    assert path.stat().st_size < 3000
    assert journal.living(journal.load(path)) == [effect("a", "299")]


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    append_all(path, [effect("a", "1")])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    journal.rewrite(path, journal.load(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
