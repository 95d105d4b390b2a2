"""What is read off Docker and the kernel about storage: what enforces, where files are, what is left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpulease_host.docker_engine import mounts, snapshots
from gpulease_host.docker_engine.storage import Storage, log_file_bytes, storage_of, writable_bytes

MIB = 1 << 20


def test_logs_have_their_place_in_the_disk() -> None:
    assert writable_bytes(64 * MIB) + 2 * log_file_bytes(64 * MIB) == 64 * MIB
    assert log_file_bytes(10 << 40) == 10 * MIB
    assert log_file_bytes(1 * MIB) == 64 << 10


@pytest.mark.parametrize(
    ("driver", "backing", "options", "enforced"),
    [
        ("btrfs", None, "rw", True),
        ("zfs", None, "rw", True),
        ("overlay2", "xfs", "rw,prjquota", True),
        ("overlay2", "xfs", "rw,noquota", False),
        ("overlay2", "extfs", "rw", False),
        ("vfs", None, "rw", False),
    ],
)
def test_which_drivers_enforce(tmp_path: Path, driver: str, backing: str | None, options: str, enforced: bool) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"1 0 8:1 / / rw - ext4 /dev/a rw,prjquota\n2 1 8:2 / /docker rw - xfs /dev/b {options}\n")
    status = [["Backing Filesystem", backing]] if backing else []
    info = {"Driver": driver, "DockerRootDir": "/docker/data", "DriverStatus": status}
    assert storage_of(info, mountinfo).enforced is enforced


def test_enforcing_drivers_get_a_size_and_others_none() -> None:
    image_bytes = 5 * MIB
    assert Storage("overlay2", False, Path("/")).size_option(64 * MIB, image_bytes) is None
    assert Storage("zfs", True, Path("/")).size_option(64 * MIB, image_bytes) == {"size": str(writable_bytes(64 * MIB))}
    with_image = writable_bytes(64 * MIB) + image_bytes
    assert Storage("btrfs", True, Path("/")).size_option(64 * MIB, image_bytes) == {"size": str(with_image)}


def test_the_mount_of_a_data_root_is_found_through_links_and_under_later_mounts(tmp_path: Path) -> None:
    real = tmp_path / "real disk"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    escaped = str(real).replace(" ", r"\040")
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        f"1 0 8:1 / / rw - ext4 /dev/a rw\n"
        f"2 1 8:2 / {escaped} rw - xfs /dev/b rw,noquota\n"
        f"3 2 8:3 / {escaped} rw shared:1 - xfs /dev/c rw,prjquota\n"
    )
    info = {
        "Driver": "overlay2",
        "DockerRootDir": str(tmp_path / "link"),
        "DriverStatus": [["Backing Filesystem", "xfs"]],
    }
    assert storage_of(info, mountinfo) == Storage("overlay2", True, real)


def test_containerds_snapshots_are_watched_in_their_own_folder(tmp_path: Path) -> None:
    (tmp_path / "containerd").mkdir()
    snapshotter = tmp_path / "containerd" / f"{snapshots.DRIVER_TYPE}.overlayfs"
    snapshotter.mkdir()
    config = tmp_path / "config.toml"
    config.write_text(f'version = 2\nroot = "{tmp_path}/containerd"\n')
    assert snapshots.folder_of("overlayfs", tmp_path / "docker", config) == snapshotter
    config.write_text("= broken")
    managed = tmp_path / "docker" / snapshots.MANAGED / f"{snapshots.DRIVER_TYPE}.overlayfs"
    managed.mkdir(parents=True)
    assert snapshots.folder_of("overlayfs", tmp_path / "docker", config) == managed
    assert snapshots.folder_of("other", tmp_path / "docker", config) == tmp_path / "docker"
    info = {"Driver": "overlayfs", "DriverStatus": [["driver-type", snapshots.DRIVER_TYPE]]}
    found = storage_of({**info, "DockerRootDir": str(tmp_path / "docker")})
    assert (found.enforced, found.snapshots) == (False, managed)
    assert found.size_option(64 * MIB, 0) is None
    assert found.free_bytes() > 0


def test_the_upper_folder_of_an_overlay_is_in_its_mount(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "5 1 0:9 / /d/rootfs/x rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/s/7/fs,workdir=/s/7/w\n"
    )
    mount = mounts.mount_at(Path("/d/rootfs/x"), mountinfo)
    assert mount is not None
    assert mount.option("upperdir") == "/s/7/fs"
    assert mounts.mount_at(Path("/d/rootfs/y"), mountinfo) is None


def test_mounts_of_any_name_are_no_hindrance(tmp_path: Path) -> None:
    """Whoever plugs in a disk names it; not all of that is text, or one word to Python."""
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_bytes(
        b"1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /media/\xff rw - vfat /dev/b rw\n"
        b"3 1 8:3 / /media/a\xc2\xa0b\x0c\x1dc\\040\\134d rw - vfat /dev/c rw\n"
        b"4 1 8:4 / /d rw - xfs /dev/d rw,prjquota\n"
    )
    mount = mounts.mount_of(Path("/d/e"), mountinfo)
    assert mount is not None
    assert "prjquota" in mount.options
    for point in (Path(os.fsdecode(b"/media/\xff")), Path("/media/a\u00a0b\x0c\x1dc \\d")):
        assert mounts.mount_at(point, mountinfo) is not None


def test_files_that_docker_mounts_into_a_container_count_with_its_logs(tmp_path: Path) -> None:
    own = tmp_path / "containers" / "abc"
    own.mkdir(parents=True)
    storage = Storage("overlay2", True, tmp_path)
    (own / "hosts").write_bytes(os.urandom(MIB))
    (own / "config.v2.json").write_bytes(os.urandom(MIB))
    assert MIB <= storage.unlimited_bytes("abc") < MIB + (64 << 10)
    (own / "abc-json.log").write_bytes(os.urandom(MIB))
    assert 2 * MIB <= storage.log_bytes("abc") < 2 * MIB + (64 << 10)
