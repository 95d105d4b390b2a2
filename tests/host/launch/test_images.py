"""Any Linux image lets its renter in by ssh, whatever it lacks or brings. Nothing inside reaches a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpulease_host.toolkit import layout
from tests.host.docker_engine.bench import client_of
from tests.host.launch import rootfs
from tests.host.launch.conftest import OpenPlace, Place

pytestmark = pytest.mark.docker
PATH = "ENV PATH=/image/bin:/bin:/usr/bin:/usr/sbin:/sbin"


@pytest.fixture(scope="session")
def docker_client(docker_host: str) -> Any:
    return client_of(docker_host)


def hold_to_what_every_image_gives(place: Place, tmp_path: Path) -> None:
    """A command, the contract's variables, files in and out by both protocols, and root."""
    visitor = place.visitor
    assert visitor.said('echo "$A"; echo "$SECRET"').splitlines() == ["b  c", "it's $HOME"]
    assert visitor.ssh(stdin="echo in; exit 3\n").returncode == 3
    assert visitor.said("echo $PATH").endswith(f":{layout.TOOLKIT}/bin")
    (tmp_path / "sent").write_bytes(b"\0\1\2" * 100_000)
    assert visitor.scp(str(tmp_path / "sent"), "root@127.0.0.1:/root/got").returncode == 0
    assert visitor.scp("root@127.0.0.1:/root/got", str(tmp_path / "back"), "-O").returncode == 0
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()
    listed = visitor.sftp("cd /root\nrename got moved\nls -l moved\n")
    assert "300000" in listed.stdout, listed.stderr
    assert "gpulease: onstart ended with 0" in place.log
    assert "from onstart: b  c" in place.log


SECRETS: dict[str, Any] = {
    "env": {"A": "b  c", "SECRET": "it's $HOME"},
    "onstart": 'echo "from onstart: $A"\n',
}


def test_an_image_with_busybox_and_nothing_else(docker_client: Any, open_place: OpenPlace, tmp_path: Path) -> None:
    image = rootfs.ensure(docker_client, "gpulease/test-bare:1", lambda: rootfs.bare().content(), [PATH])
    place = open_place(image, **SECRETS)
    hold_to_what_every_image_gives(place, tmp_path)
    assert place.visitor.said("echo $SHELL; ls /").splitlines()[0] == "/bin/sh"
    # Docker itself makes /etc, with three files about names; the toolkit adds none.
    assert set(place.visitor.said("ls /etc").split()) <= {"hostname", "hosts", "mtab", "resolv.conf"}


def test_an_image_without_a_shell(docker_client: Any, open_place: OpenPlace, tmp_path: Path) -> None:
    image = rootfs.ensure(docker_client, "gpulease/test-no-shell:1", lambda: rootfs.no_shell().content(), [PATH])
    place = open_place(image, **SECRETS)
    hold_to_what_every_image_gives(place, tmp_path)
    assert place.visitor.said("echo $SHELL") == f"{layout.TOOLKIT}/bin/sh"


def test_an_image_with_musl_whose_files_would_lead_glibc_astray(
    docker_client: Any, open_place: OpenPlace, tmp_path: Path
) -> None:
    changes = [PATH, "ENV LD_LIBRARY_PATH=/lib", "ENV PYTHONHOME=/nowhere"]
    image = rootfs.ensure(docker_client, "gpulease/test-musl:1", lambda: rootfs.musl().content(), changes)
    place = open_place(image, **SECRETS)
    hold_to_what_every_image_gives(place, tmp_path)
    assert place.visitor.said("hello; echo $LD_LIBRARY_PATH").splitlines() == ["linked with musl", "/lib"]


def test_a_debian_with_its_own_sshd_and_another_user(docker_client: Any, open_place: OpenPlace, tmp_path: Path) -> None:
    changes = [PATH, "USER nobody", "WORKDIR /srv", 'ENTRYPOINT ["/bin/false"]']
    image = rootfs.ensure(docker_client, "gpulease/test-debian-user:1", rootfs.debian, changes)
    place = open_place(image, **{**SECRETS, "onstart": SECRETS["onstart"] + "mkdir -p /run/sshd; /usr/sbin/sshd\n"})
    hold_to_what_every_image_gives(place, tmp_path)
    visitor = place.visitor
    assert visitor.said("id -u; echo $SHELL; bash -lc 'echo \"$A\"'").splitlines() == ["0", "/bin/bash", "b  c"]
    # Its own sshd runs beside ours, on its own port.
    assert visitor.said("head -c 8 < /dev/tcp/127.0.0.1/22") == "SSH-2.0-"
    assert visitor.said("apt-get --version | head -c 3; su nobody -s /bin/sh -c 'id -un'") == "aptnobody"
    assert "with the API" in visitor.ssh("reboot").stderr
    for login in ("bash -lc 'echo $PATH'", "su - -c 'echo $PATH'", "bash -lc \"bash -lc 'echo \\$PATH'\""):
        assert place.visitor.said(login).startswith(place.visitor.said("printenv PATH").split(":")[1]), login


def test_an_image_whose_etc_nobody_can_write_not_even_root(
    docker_client: Any, open_place: OpenPlace, tmp_path: Path
) -> None:
    """Made immutable from this machine once the container is there, then started anew: so it stands from the start."""
    image = rootfs.ensure(docker_client, "gpulease/test-musl:1", lambda: rootfs.musl().content(), [PATH])
    place = open_place(image, **SECRETS)
    rootfs.set_etc_immutable(place.bench.pids(place.order)[0], "+i")
    try:
        place.stop()
        place.start()
        assert place.visitor.ssh("echo x >> /etc/passwd || touch /etc/new").returncode != 0
        hold_to_what_every_image_gives(place, tmp_path)
    finally:
        rootfs.set_etc_immutable(place.bench.pids(place.order)[0], "-i")
