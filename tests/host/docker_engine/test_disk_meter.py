"""Counting what a container wrote: file by file, in short steps, and never so that it can be hidden."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from gpulease_host.docker_engine import disk_meter
from gpulease_host.docker_engine.disk_meter import STEP_S, UNCOUNTABLE_BYTES, DiskMeter
from gpulease_host.docker_engine.storage import Storage

MIB = 1 << 20
ZFS = Storage("zfs", True, Path("/nowhere"))


class Ticking:
    """Each look at the clock takes a moment."""

    def __init__(self, tick_s: float = 0.0) -> None:
        self.now = 100.0
        self.tick_s = tick_s

    def __call__(self) -> float:
        self.now += self.tick_s
        return self.now


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    for each in range(40):
        (tmp_path / f"{each % 4}").mkdir(exist_ok=True)
        (tmp_path / f"{each % 4}" / f"file-{each}").write_bytes(os.urandom(MIB // 4))
    return tmp_path


def test_a_soft_disk_is_measured_file_by_file_and_not_on_every_question(tmp_path: Path) -> None:
    (tmp_path / "image/overlay2/layerdb/mounts/abc").mkdir(parents=True)
    (tmp_path / "image/overlay2/layerdb/mounts/abc/mount-id").write_text("m1")
    layer = tmp_path / "overlay2/m1/diff/dir"
    layer.mkdir(parents=True)
    (layer / "file").write_bytes(os.urandom(MIB))
    logs = tmp_path / "containers/abc"
    logs.mkdir(parents=True)
    (logs / "abc-json.log").write_bytes(os.urandom(MIB))
    clock = Ticking()
    meter, storage = DiskMeter(clock), Storage("overlay2", False, tmp_path)

    def used() -> int:
        return meter.used_bytes(storage, "abc", [], lambda: None) or 0

    assert 2 * MIB <= used() < 2 * MIB + (64 << 10)
    (layer / "more").write_bytes(os.urandom(MIB))
    assert used() < 3 * MIB, "too early to walk again"
    clock.now += 6
    assert used() >= 3 * MIB


def test_volumes_count_beside_what_docker_says_of_the_layer(volume: Path) -> None:
    meter = DiskMeter(Ticking())
    used = meter.used_bytes(ZFS, "abc", [str(volume)], lambda: 5 * MIB)
    assert 15 * MIB <= (used or 0) < 16 * MIB
    assert meter.used_bytes(ZFS, "other", [str(volume)], lambda: None) is None


def test_a_long_count_goes_in_steps_and_is_a_lower_bound_until_it_is_done(volume: Path) -> None:
    meter = DiskMeter(Ticking(STEP_S / 4))

    def used() -> int:
        return meter.used_bytes(ZFS, "abc", [str(volume)], lambda: 0) or 0

    seen = [used() for _ in range(40)]
    assert seen == sorted(seen)
    assert seen[0] <= 2 * MIB
    assert 10 * MIB <= seen[-1] < 11 * MIB


def test_while_it_is_counted_again_the_count_before_stands(volume: Path) -> None:
    clock = Ticking()
    meter = DiskMeter(clock)

    def used() -> int:
        return meter.used_bytes(ZFS, "abc", [str(volume)], lambda: 0) or 0

    before = used()
    (volume / "0" / "file-0").unlink()
    clock.now, clock.tick_s = clock.now + 6, STEP_S / 4
    assert used() == before
    for _ in range(40):
        after = used()
    assert after == before - MIB // 4


def test_too_much_is_sure_only_after_a_fresh_count(volume: Path) -> None:
    clock = Ticking()
    meter = DiskMeter(clock)

    def used() -> int:
        return meter.used_bytes(ZFS, "abc", [str(volume)], lambda: 0) or 0

    before = used()
    assert meter.is_sure("abc"), "the first count is one"
    clock.now += 6
    assert used() == before
    (volume / "0" / "file-0").unlink()
    assert used() == before
    assert not meter.is_sure("abc")
    assert used() == before - MIB // 4
    assert meter.is_sure("abc")
    assert meter.is_sure("never counted")


def test_what_vanishes_or_is_no_directory_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr")
    meter = DiskMeter(Ticking())
    used = meter.used_bytes(ZFS, "abc", [str(tmp_path), str(tmp_path / "gone")], lambda: 0)
    assert (used or 0) < MIB


def test_what_is_nested_too_deep_to_be_counted_is_too_much(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(40):
        os.mkdir("d" * 200, dir_fd=here)
        deeper = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    used = DiskMeter(Ticking()).used_bytes(ZFS, "abc", [str(tmp_path)], lambda: 0)
    assert (used or 0) >= UNCOUNTABLE_BYTES


def test_no_folder_is_read_twice_and_wide_ones_take_little_memory(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(14):
        deep = deep / ("d" * 240)
    deep.mkdir(parents=True)
    for each in range(3000):
        (deep / f"{each}").mkdir()
    sizes = disk_meter._sizes([str(tmp_path)])
    tracemalloc.start()
    try:
        counted = sum(1 for size in sizes if size)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counted == 14 + 3000
    assert most < 500_000, "one path has 3,400 bytes"


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_count_that_is_given_up_leaves_no_folder_open(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    before = open_files()
    sizes = disk_meter._sizes([str(tmp_path)])
    for _ in range(6):
        next(sizes)
    assert open_files() > before
    del sizes
    assert open_files() == before


@pytest.mark.parametrize(
    ("levels", "is_counted"), [(disk_meter.MOST_LEVELS - 1, True), (disk_meter.MOST_LEVELS, False)]
)
def test_as_many_levels_are_counted_as_may_be_open(tmp_path: Path, levels: int, is_counted: bool) -> None:
    deep = tmp_path
    for _ in range(levels):
        deep = deep / "d"
    deep.mkdir(parents=True)
    used = DiskMeter(Ticking()).used_bytes(ZFS, "abc", [str(tmp_path)], lambda: 0)
    assert ((used or 0) < UNCOUNTABLE_BYTES) == is_counted


def test_names_of_one_file_count_once_and_an_empty_file_a_block(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(MIB))
    for each in range(3):
        os.link(tmp_path / "file", tmp_path / f"link-{each}")
    for each in range(256):
        (tmp_path / f"empty-{each}").touch()
    used = DiskMeter(Ticking()).used_bytes(ZFS, "abc", [str(tmp_path)], lambda: 0)
    assert 2 * MIB <= (used or 0) < 2 * MIB + (16 << 10)


def test_a_folder_that_only_a_mount_tells_is_remembered_until_the_container_is_gone(tmp_path: Path) -> None:
    class Stopping(Storage):
        """Containerd's: its folder can be found while the container runs."""

        runs = True

        def layer_directory(self, container_id: str) -> Path | None:
            return tmp_path / "fs" if Stopping.runs else None

    (tmp_path / "fs").mkdir()
    (tmp_path / "fs" / "file").write_bytes(os.urandom(MIB))
    clock = Ticking()
    meter, storage = DiskMeter(clock), Stopping("overlayfs", False, tmp_path, tmp_path)

    def used() -> int:
        return meter.used_bytes(storage, "abc", [], lambda: 7) or 0

    assert used() >= MIB
    Stopping.runs = False
    clock.now += 6
    assert used() >= MIB
    meter.forget("abc")
    assert used() == 7
