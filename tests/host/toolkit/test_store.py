"""Toolkits on disk: proven by their manifest, current at one moment, removed when nobody uses them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from gpulease_host.toolkit import layout, manifest, packages
from gpulease_host.toolkit.building import ACCOUNT_FILES, PRIVSEP_NEW, PRIVSEP_OLD, TEXTS
from gpulease_host.toolkit.command import run_toolkit
from gpulease_host.toolkit.elf import replace_text
from gpulease_host.toolkit.errors import ToolkitError
from gpulease_host.toolkit.store import STARTING_S, ToolkitStore, mounted
from tests.host.toolkit.conftest import NEW, OLD, FakeBuilds


def built(store: ToolkitStore, fingerprint: str, *, current: bool = False) -> Path:
    """As a build leaves it, but for the size."""
    root = store.folder / fingerprint
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "program").write_text(fingerprint)
    (root / "bin" / "link").symlink_to("program")
    manifest.write(root)
    if current:
        (store.folder / "current").symlink_to(fingerprint)
    return root


@pytest.fixture
def store(tmp_path: Path) -> ToolkitStore:
    return ToolkitStore(tmp_path / "toolkit")


def test_every_change_of_a_toolkit_is_found(store: ToolkitStore) -> None:
    root = built(store, NEW)
    assert manifest.verify(root) == 2
    (root / "bin" / "program").write_text("changed")
    with pytest.raises(ToolkitError, match="bin/program of the toolkit was changed"):
        manifest.verify(root)
    (root / "bin" / "program").write_text(NEW)
    (root / "bin" / "more").touch()
    with pytest.raises(ToolkitError, match="bin/more of the toolkit is not in its manifest"):
        manifest.verify(root)
    (root / "bin" / "more").unlink()
    (root / "bin" / "link").unlink()
    with pytest.raises(ToolkitError, match="bin/link of the toolkit is missing"):
        manifest.verify(root)
    (root / "bin" / "link").symlink_to("elsewhere")
    with pytest.raises(ToolkitError, match="bin/link of the toolkit was changed"):
        manifest.verify(root)


def test_an_old_toolkit_stays_while_a_container_runs_on_it_or_could_be_starting(tmp_path: Path) -> None:
    mounts = [f"1 2 0:3 /somewhere/toolkit/{OLD} /.gl ro - btrfs"]
    store = ToolkitStore(tmp_path, mounted=lambda: "\n".join(mounts))
    old, new = built(store, OLD), built(store, NEW, current=True)
    later = time.time() + STARTING_S + 1
    assert store.remove_unused(later) == []
    mounts.clear()
    assert store.remove_unused(time.time()) == []
    assert store.remove_unused(later) == [OLD]
    assert not old.exists()
    assert store.current() == new.resolve()


def test_what_is_mounted_is_read_of_every_process(tmp_path: Path) -> None:
    for pid, text in (("1", "of the host"), ("77", "of a container")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "mountinfo").write_text(text)
    (tmp_path / "78").mkdir()
    (tmp_path / "sys").mkdir()
    assert sorted(mounted(tmp_path).splitlines()) == ["of a container", "of the host"]


def test_without_a_current_one_nothing_is_removed(store: ToolkitStore) -> None:
    old = built(store, OLD)
    assert store.remove_unused(time.time() + 2 * STARTING_S) == []
    assert old.exists()


def test_packages_that_are_missing_are_named_with_the_line_that_installs_them(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError) as refused:
        packages.check(str(tmp_path))
    for name in packages.PROGRAMS:
        assert name in str(refused.value)
    assert "apt-get install -y" in str(refused.value)


def test_a_busybox_that_needs_libraries_is_none(tmp_path: Path) -> None:
    for name in packages.PROGRAMS.values():
        shutil.copy("/bin/ls" if name == "busybox" else "/bin/true", tmp_path / name)
    assert packages.missing(str(tmp_path)) == ["busybox-static"]
    shutil.copy(packages.program("busybox"), tmp_path / "busybox")
    assert packages.missing(str(tmp_path)) == []


def test_the_command_names_one_missing_package_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_toolkit(["packages"], tmp_path) == 0
    assert capsys.readouterr().out.split() == packages.missing()


def test_requirements_are_pinned_each() -> None:
    lines = [line for line in packages.REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert all(line.count("==") == 1 for line in lines)


def test_a_path_in_a_library_is_replaced_by_one_of_its_length_or_not_at_all(tmp_path: Path) -> None:
    library = tmp_path / "libc.so.6"
    library.write_bytes(b"\0/etc/passwd\0/etc/passwd-\0")
    replace_text(library, "/etc/passwd", "/.gl/passwd")
    assert library.read_bytes() == b"\0/.gl/passwd\0/etc/passwd-\0"
    for old, new in (("/etc/shadow", "/.gl/shadow"), ("/.gl/passwd", "/longer/passwd")):
        with pytest.raises(ToolkitError):
            replace_text(library, old, new)


def test_the_toolkit_has_every_file_that_its_patched_libraries_read() -> None:
    assert set(ACCOUNT_FILES) <= set(TEXTS)
    assert len(layout.TOOLKIT) == len("/etc")
    assert len(PRIVSEP_NEW) == len(PRIVSEP_OLD)
    assert PRIVSEP_NEW.endswith("sshd")


def test_it_is_built_once_and_anew_when_the_packages_change(builds: FakeBuilds, tmp_path: Path) -> None:
    store = builds.store(tmp_path / "toolkit")
    assert not store.is_fresh()
    assert store.ensure() == store.ensure() == store.current()
    assert (store.is_fresh(), builds.built) == (True, 1)
    builds.fingerprint = OLD
    assert not store.is_fresh()
    assert store.ensure().name == OLD
    assert store.current() == store.folder / OLD
    assert (store.folder / NEW).exists()
    builds.fingerprint = NEW
    assert store.ensure().name == NEW
    assert builds.built == 2


def test_a_build_that_breaks_off_leaves_the_one_before(builds: FakeBuilds, tmp_path: Path) -> None:
    store = builds.store(tmp_path / "toolkit")
    before = store.ensure()

    def break_off(root: Path) -> None:
        assert store.current() == before
        raise ToolkitError("the index does not answer")

    builds.fingerprint, builds.before = OLD, break_off
    with pytest.raises(ToolkitError, match="does not answer"):
        store.ensure()
    assert store.current() == before
    assert not (store.folder / OLD).exists()
    (store.folder / ".build-killed").mkdir()
    builds.before = lambda root: None
    store.ensure()
    assert not list(store.folder.glob(".build-*"))
