"""The proxy as a whole: its files, its two programs, the desk that they ask, and the warden."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from proxy import ask_desk, listeners
from proxy.children import Child
from proxy.desk import Desk
from proxy.hosts import Hosts
from proxy.log import Log
from proxy.nginx_config import nginx_config
from proxy.service import Service, ServiceError
from proxy.settings import Settings, SettingsError
from proxy.sshd_config import penalizes_sources, sshd_config
from proxy.warden import Warden

LOOK_S = 0.25
WARDEN_S = 5.0
WAITING_S = 0.5
CERTIFICATE_LOOK_S = 5.0
CA_AGE_S = 3600.0
CA_AGAIN_S = 10.0
PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Supervisor:
    """`run` keeps all of it going until told to stop; only the main thread may call it."""

    settings: Settings
    service: Service
    elapsed: Callable[[], float]
    log: Log
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Raises SettingsError when a program is missing."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each client of a tunnel takes two of its sshd's
        sshd, nginx = self._programs()
        hosts = Hosts(self.service, self.elapsed, self.log)
        desk = Desk(self.settings, hosts)
        warden = self._warden(hosts, sshd)
        certificates = Certificates(self.settings, self.service, self.log)
        self._end_what_was_left()
        desk.start()
        self._aside("lines", warden.end_gone, WARDEN_S)
        self._aside("waiting", lambda: warden.end_waiting(self.elapsed()), WAITING_S)
        self._aside("permits", lambda: warden.end_unpermitted(self.elapsed()), WARDEN_S)
        self._aside("certificates", certificates.step, CERTIFICATE_LOOK_S)
        self.log.say("proxy started", tunnel_port=self.settings.tunnel_port, jupyter=self.settings.serves_jupyter)
        while not self.stopping.wait(LOOK_S):
            sshd.keep()
            if certificates.changed.is_set():  # before a start, which reads them anyway: so early a signal would end it
                certificates.changed.clear()
                nginx.reload()
            if certificates.are_there:
                nginx.keep()
        nginx.stop()
        sshd.stop()
        warden.end_all()
        desk.stop()
        self.log.say("proxy stopped")

    def _end_what_was_left(self) -> None:
        """An earlier run may have been killed with its nginx, whose workers go on then, and hold the port."""
        for pid in listeners.left_in(self.settings.folder, "nginx"):
            self.log.say(
                "program ended", program="nginx", pid=pid, reason="it was left by an earlier run of this proxy"
            )
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _programs(self) -> tuple[Child, Child]:
        files = write_files(self.settings)
        ends_with_us = [find_program("setpriv"), "--pdeathsig", "TERM"]
        sshd = [*ends_with_us, find_program("sshd"), "-D", "-e", "-f", str(files.sshd_config)]
        folder = str(self.settings.folder)
        nginx = [*ends_with_us, find_program("nginx"), "-p", folder, "-e", "stderr", "-c", str(files.nginx_config)]
        return (
            Child("sshd", sshd, self.elapsed, self.log),
            Child("nginx", nginx, self.elapsed, self.log, self.settings.folder),
        )

    def _warden(self, hosts: Hosts, sshd: Child) -> Warden:
        addresses = {self.settings.public_address, self.settings.loopback_address}

        def look() -> list[listeners.Listener]:
            found = listeners.listeners(addresses, self.settings.tunnel_address, self.settings.tunnel_port)
            return [each for each in found if each.pid != sshd.pid]  # which holds a new one for a moment

        def begun() -> set[int]:
            return listeners.begun_by(sshd.pid) if sshd.pid is not None else set()

        return Warden(hosts, look, listeners.sshd_pids, self.log, begun)

    def _aside(self, name: str, step: Callable[[], None], interval_s: float) -> None:
        """At odd times, at most `interval_s` apart, so that nobody can step aside for each look and come back."""

        def repeat() -> None:
            while not self.stopping.is_set():
                try:
                    step()
                except OSError as error:  # the kernel was asked, or a file written; the next time may be better
                    self.log.say("fault", part=name, reason=f"{type(error).__name__}: {error.strerror}")
                self.stopping.wait(interval_s * random.uniform(0.4, 1))

        threading.Thread(target=repeat, name=name, daemon=True).start()


@dataclass
class Certificates:
    """The service's CA and the zone's certificate: nginx starts with both, and reads them again when they change."""

    settings: Settings
    service: Service
    log: Log
    changed: threading.Event = field(default_factory=threading.Event)
    _ask_in_s: float = field(default=0.0, init=False)
    _seen: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Before nginx can start: it may read what is replaced a moment later."""
        self._seen = self._look()

    @property
    def are_there(self) -> bool:
        return self.settings.serves_jupyter and self.settings.ca.exists()

    def step(self) -> None:
        """Every CERTIFICATE_LOOK_S. A service that is away leaves the CA that it gave before."""
        if not self.settings.serves_jupyter:
            return
        self._ask_in_s -= CERTIFICATE_LOOK_S
        if self._ask_in_s <= 0:
            self._ask_in_s = CA_AGE_S if self._fetch_ca() else CA_AGAIN_S
        seen = self._look()
        if seen != self._seen:
            self.changed.set()
        self._seen = seen

    def _fetch_ca(self) -> bool:
        try:
            text = self.service.ca()
        except ServiceError as error:
            self.log.say("CA not fetched", reason=str(error), kept=self.settings.ca.exists())
            return False
        if not self.settings.ca.exists() or self.settings.ca.read_bytes() != text:
            beside = self.settings.ca.with_suffix(".new")
            beside.write_bytes(text)
            beside.replace(self.settings.ca)
            self.log.say("CA taken")
        return True

    def _look(self) -> tuple[tuple[int, int], ...]:
        found = [path.stat() for path in self._paths() if path.exists()]
        return tuple((each.st_mtime_ns, each.st_ino) for each in found)

    def _paths(self) -> list[Path]:
        named = (self.settings.tls_certificate, self.settings.tls_key)
        return [self.settings.ca, *(Path(each) for each in named if each is not None)]


@dataclass(frozen=True)
class Files:
    sshd_config: Path
    nginx_config: Path


def write_files(settings: Settings) -> Files:
    """What sshd and nginx need. The host key is made once: hosts know this proxy by it."""
    folder = settings.folder
    for each in (folder, folder / "nginx"):
        each.mkdir(mode=0o700, exist_ok=True)
    make_host_key(settings)
    asking = folder / "ask_desk.py"
    shutil.copyfile(Path(ask_desk.__file__), asking)
    files = Files(folder / "sshd_config", folder / "nginx.conf")
    python = Path(find_program("python3")).resolve()  # the machine's: another may lie where this account cannot look
    files.sshd_config.write_text(sshd_config(settings, python, asking, penalizes_sources(find_program("sshd"))))
    files.nginx_config.write_text(nginx_config(settings))
    return files


def make_host_key(settings: Settings) -> str:
    """The public half, as the service has to be told it."""
    key = settings.host_key
    if not key.exists():
        command = [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return " ".join(key.with_name(key.name + ".pub").read_text().split()[:2])


def find_program(name: str) -> str:
    """Raises SettingsError."""
    found = shutil.which(name, path=f"{PROGRAM_PATH}:{os.environ.get('PATH', '')}")
    if found is None:
        packages = {
            "python3": "python3",
            "setpriv": "util-linux",
            "sshd": "openssh-server",
            "ssh-keygen": "openssh-client",
            "nginx": "nginx-light",
        }
        raise SettingsError(f"There is no {name} here. As root on Debian, run: apt-get install -y {packages[name]}")
    return found
