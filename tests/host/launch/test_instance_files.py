"""The files of an instance: made once, kept, changed as wholes, readable for nobody else, gone in the end."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from gpulease_host.docker_engine.ways_in import WayInError, WaysIn
from gpulease_host.engine import Secrets
from gpulease_host.launch import ssh_keys
from gpulease_host.launch.instance_files import InstanceFiles
from gpulease_host.launch.ssh_keys import SshKeyError
from gpulease_host.toolkit import layout
from gpulease_host.toolkit.store import ToolkitStore
from tests.host.launch.test_ssh_keys import ED25519, RSA
from tests.host.notary import Notary

NOTARY = Notary()


@pytest.fixture
def files(tmp_path: Path) -> InstanceFiles:
    return InstanceFiles(tmp_path / "instances" / "11")


def prepare(files: InstanceFiles, mode: str = "jupyter", secrets: Secrets | None = None) -> None:
    given = secrets or Secrets(ssh_keys=(ED25519,), jupyter_token="a" * 20, onstart="echo hi")
    files.prepare(mode, given, "/root")


def test_keys_and_token_are_made_once(files: InstanceFiles) -> None:
    prepare(files)
    before = {path.name: path.read_bytes() for path in files.inside.iterdir()}
    prepare(files)
    assert {path.name: path.read_bytes() for path in files.inside.iterdir()} == before
    assert before.keys() >= {layout.HOST_KEY_FILE, layout.KEYS_FILE, layout.TOKEN_FILE}


def test_the_host_key_is_told_by_its_public_half_once_it_is_whole(files: InstanceFiles) -> None:
    assert files.host_key is None
    prepare(files)
    public = files.host_key
    assert public is not None
    assert ssh_keys.checked([public]) == (public,)
    private = load_ssh_private_key((files.inside / layout.HOST_KEY_FILE).read_bytes(), None)
    assert private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() == public
    (files.inside / layout.HOST_KEY_FILE).unlink()
    assert files.host_key is None


@pytest.mark.parametrize("text", ["echo a\r\necho b", "echo a\r\necho b\r", "\ufeffecho a\necho b"])
def test_onstart_is_what_was_meant_whatever_system_it_was_typed_on(files: InstanceFiles, text: str) -> None:
    prepare(files, secrets=Secrets(onstart=text))
    assert (files.inside / layout.ONSTART_FILE).read_bytes() == b"echo a\necho b\n"


def test_first_process_is_told_how_long_a_stop_may_take(files: InstanceFiles) -> None:
    files.prepare("ssh", Secrets(), "/root", 25)
    assert (files.inside / layout.STOP_GRACE_FILE).read_text() == "25"


def test_a_preparation_that_broke_off_anywhere_is_done_again(files: InstanceFiles) -> None:
    prepare(files)
    for name in (layout.HOST_KEY_FILE, layout.TOKEN_FILE, layout.MODE_FILE):
        (files.inside / name).unlink()
        prepare(files)
        assert (files.inside / name).exists()


def test_only_the_owner_reads_them(files: InstanceFiles) -> None:
    prepare(files)
    files.set_tls(NOTARY.files(11))
    assert {oct(path.stat().st_mode & 0o777) for path in files.folder.rglob("*")} == {"0o600", "0o700"}
    assert files.folder.parent.stat().st_mode & 0o777 == 0o700


def test_the_hosts_own_key_may_do_nothing_and_comes_first(files: InstanceFiles) -> None:
    prepare(files)
    probe, client = (files.inside / layout.KEYS_FILE).read_text().splitlines()
    assert probe.startswith('restrict,command="/.gl/bin/busybox true" ssh-ed25519 ')
    assert client == ED25519


def test_changed_keys_are_a_new_file_and_a_bad_one_changes_nothing(files: InstanceFiles) -> None:
    prepare(files)
    before = (files.inside / layout.KEYS_FILE).stat().st_ino
    files.set_ssh_keys([RSA])
    keys = files.inside / layout.KEYS_FILE
    assert keys.stat().st_ino != before
    assert keys.read_text().splitlines()[1:] == [RSA]
    with pytest.raises(SshKeyError):
        files.set_ssh_keys([f"no-pty {ED25519}"])
    assert keys.read_text().splitlines()[1:] == [RSA]


def test_what_is_no_longer_wanted_goes(files: InstanceFiles) -> None:
    prepare(files)
    prepare(files, secrets=Secrets())
    assert not (files.inside / layout.ONSTART_FILE).exists()
    assert files.token == "a" * 20
    files.remove()
    files.remove()
    assert not files.folder.exists()


def test_what_cannot_be_removed_is_said_and_all_else_goes(files: InstanceFiles, tmp_path: Path) -> None:
    """As when a disk lets nothing be changed any more; here somebody's link stands in the way."""
    prepare(files)
    ways_in = WaysIn(tmp_path, ToolkitStore(tmp_path / "toolkit"))
    elsewhere = files.folder.rename(tmp_path / "elsewhere")
    files.folder.symlink_to(elsewhere)
    with pytest.raises(WayInError, match="Keys and token of instance 11 could not be removed"):
        ways_in.remove(11)
    files.folder.unlink()
    elsewhere.rename(files.folder)
    ways_in.remove(11)
    ways_in.remove(11)
    assert not files.folder.exists()


def test_without_a_token_from_the_service_there_is_one_that_nobody_knows(files: InstanceFiles) -> None:
    prepare(files, secrets=Secrets())
    assert files.token is not None
    assert len(files.token) > 40


def test_mode_ssh_has_no_token_and_no_certificate(files: InstanceFiles) -> None:
    prepare(files, "ssh")
    assert (files.token, files.certificate) == (None, None)


def test_a_renewed_certificate_takes_the_place_of_the_old_one_with_its_key(files: InstanceFiles) -> None:
    prepare(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for _ in range(2):
        made = NOTARY.files(11)
        files.set_tls(made)
        assert files.tls == made
        context.load_cert_chain(files.inside / layout.CERTIFICATE_FILE, files.inside / layout.TLS_KEY_FILE)
