"""The whole way in over proxies: by ssh and by name, for any image, in every mode and by every way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest

from local import proxies, supervise
from local.client import wait_until
from local.site import Running, Site
from tests.e2e.conftest import wait_for_empty_host
from tests.e2e.proxies.visiting import UNKNOWN_S, Browser, Rented, know, rent_notebook
from tests.e2e.renting import rent, wait_for_instance
from tests.e2e.watching import Watch
from tests.host.launch import rootfs
from tests.host.launch.notebook import Notebook
from tests.host.launch.visitor import Visitor, answers


def another_key(folder: Path) -> str:
    return " ".join(Visitor.new(folder, 0, "impostor").public.split()[:2])


def test_who_rents_gets_in_over_the_proxy_by_ssh_and_by_name_and_nobody_does_when_it_is_over(
    running: Running, site: Site, watch: Watch, tmp_path: Path
) -> None:
    rented = rent_notebook(running, site, tmp_path)
    visitor, browser = rented.visitor, rented.browser
    watch.known["JupyterLab's token"] = rented.token.encode()
    wait_until(lambda: answers(visitor.port), bool, "The number for ssh", UNKNOWN_S)

    know(visitor, rented.told_host_key)
    assert visitor.said("cat /proc/1/comm; id -u").splitlines()[-1] == "0"
    assert len(visitor.known_hosts.read_text().splitlines()) == 1, "another key than the told one was believed"
    know(visitor, another_key(tmp_path))
    assert "Host key verification failed" in visitor.ssh("true").stderr
    stranger = Visitor.new(tmp_path, visitor.port, "stranger")
    know(stranger, rented.told_host_key)
    assert "Permission denied" in stranger.ssh("true").stderr

    assert rented.browser.url == f"https://j-{rented.contract['id']}.{proxies.ZONE}:{site.https_port}/"
    wait_until(lambda: browser.status("/api/status", rented.token), lambda seen: seen == 200, "JupyterLab", UNKNOWN_S)
    rented.by(2).wait_to_get_in()
    assert browser.status("/api/status", "x" * len(rented.token)) == 403
    assert browser.status("/api/status", "") == 403
    nobody = Browser(browser.url.replace(str(rented.contract["id"]), "1"), browser.trusted)
    assert nobody.status("/api/status", rented.token) == 404

    for number in (1, 2):
        assert rented.token not in supervise.log_tail(site.local_proxies.state / f"proxy-{number}.log")

    running.client.delete(f"/v1/contracts/{rented.contract['id']}")
    wait_for_empty_host(running)
    wait_until(lambda: answers(visitor.port), lambda seen: not seen, "The end of the number for ssh", UNKNOWN_S)
    wait_until(
        lambda: browser.status("/api/status", rented.token), lambda seen: seen in (404, 502), "The end", UNKNOWN_S
    )


MUSL = "gpulease/test-musl:1"
PATH = "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
IMAGES: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "gpulease/test-bare:1": (lambda: rootfs.bare().content(), [PATH]),
    "gpulease/test-no-shell:1": (lambda: rootfs.no_shell().content(), [PATH]),
    MUSL: (
        lambda: rootfs.musl().content(),
        [PATH, "ENV LD_LIBRARY_PATH=/lib", "ENV PYTHONHOME=/nowhere"],
    ),
    "gpulease/test-debian-user:1": (rootfs.debian, [PATH, "USER nobody", 'ENTRYPOINT ["/bin/false"]']),
}
"""By name: busybox alone, not even a shell, musl, and a Debian with its own Python, sshd and user."""


def hold_to_ssh(running: Running, contract: dict[str, Any], folder: Path) -> None:
    """A command, and a file there and back, by each of the two ways."""
    ssh = contract["instances"][0]["access"]["ssh"]
    for way in ("direct", "proxy"):
        visitor = Visitor.new(folder, ssh[way]["port"])
        wait_until(partial(answers, visitor.port), bool, f"The {way} way", UNKNOWN_S)
        know(visitor, ssh["host_key"])
        assert visitor.said("echo hello") == "hello"
        (folder / "sent").write_bytes(b"\0\1" * 50_000)
        assert visitor.scp(str(folder / "sent"), "root@127.0.0.1:/root/got").returncode == 0
        assert visitor.scp("root@127.0.0.1:/root/got", str(folder / way)).returncode == 0
        assert (folder / way).read_bytes() == (folder / "sent").read_bytes()
        assert "100000" in visitor.sftp("ls -l /root/got\n").stdout


@pytest.mark.slow
@pytest.mark.parametrize("image", IMAGES)
def test_into_any_image_in_every_mode_and_by_every_way(
    running: Running, site: Site, tmp_path: Path, engine: docker.DockerClient, image: str
) -> None:
    make, changes = IMAGES[image]
    rootfs.ensure(engine.api, image, make, changes)
    key = Visitor.new(tmp_path, 0).public
    plain = rent(running, mode="ssh", args=None, ssh_keys=[key], image=image)
    hold_to_ssh(running, plain, tmp_path)

    direct = rent(running, mode="jupyter", jupyter_via="direct", args=None, ssh_keys=[key], image=image)
    hold_to_ssh(running, direct, tmp_path)
    hold_to_jupyter_directly(running, direct)

    proxied = rent_notebook(running, site, tmp_path, image)
    hold_to_ssh(running, proxied.contract, tmp_path)
    hold_to_jupyter_over_the_proxy(proxied)


@pytest.mark.slow
def test_into_an_image_whose_etc_nobody_can_write(
    running: Running, site: Site, tmp_path: Path, engine: docker.DockerClient
) -> None:
    """Made immutable from this machine once the container is there, then started anew: so it stands from the start."""
    make, changes = IMAGES[MUSL]
    rootfs.ensure(engine.api, MUSL, make, changes)
    rented = rent_notebook(running, site, tmp_path, MUSL)
    rootfs.set_etc_immutable(pid_of(engine, rented.contract), "+i")
    try:
        running.client.post(f"/v1/contracts/{rented.contract['id']}/stop")
        wait_for_instance(running, rented.contract, "stopped")
        running.client.post(f"/v1/contracts/{rented.contract['id']}/start")
        wait_for_instance(running, rented.contract, "running")
        hold_to_ssh(running, rented.contract, tmp_path)
        assert rented.by(2).visitor.ssh("echo x >> /etc/passwd || touch /etc/new").returncode != 0
        hold_to_jupyter_over_the_proxy(rented)
    finally:
        rootfs.set_etc_immutable(pid_of(engine, rented.contract), "-i")


def hold_to_jupyter_directly(running: Running, contract: dict[str, Any]) -> None:
    """The certificate is the service's; another token is refused; a cell runs."""
    told = running.client.get(f"/v1/contracts/{contract['id']}/jupyter")
    authority = running.client.session.get(f"{running.cloud.front_url}/v1/ca.crt", timeout=10).text
    notebook = Notebook(urlsplit(told["url"]).port or 443, told["token"], authority)
    assert notebook.get("/api/status", token="not-the-token")[0] == 403
    with notebook.kernel() as kernel:
        assert kernel.run("print(6 * 7)").stdout == "42\n"


def hold_to_jupyter_over_the_proxy(rented: Rented) -> None:
    wait_until(lambda: rented.browser.status("/lab", rented.token), lambda seen: seen == 200, "JupyterLab", UNKNOWN_S)
    assert rented.browser.status("/api/status", "not-the-token") == 403


def pid_of(engine: docker.DockerClient, contract: dict[str, Any]) -> int:
    return int(engine.containers.get(f"gpulease-{contract['id']}").attrs["State"]["Pid"])
