"""One connection to a proxy: an ssh process in master mode, told by its control socket what to forward.

It ends with the thread that made it, so with the daemon, however that ends: forwards that nobody minds could lead to
whoever has a container's address next.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from gpulease_host.tunnels.forwards import Forward
from gpulease_host.tunnels.proxies import Proxy

TELL_TIMEOUT_S = 10
END_TIMEOUT_S = 3
ALIVE_S = 5
ALIVE_TRIES = 3
ALIAS = "proxy"


class Connection(Protocol):
    @property
    def is_alive(self) -> bool: ...

    @property
    def is_up(self) -> bool:
        """Let in by the proxy."""
        ...

    @property
    def last_words(self) -> str: ...

    def add(self, forward: Forward) -> bool:
        """Whether the proxy listens there now."""
        ...

    def cancel(self, forward: Forward) -> None:
        """From its return on nothing new is led there. Sessions that are open stay so."""
        ...

    def close(self) -> None: ...


Connect = Callable[[Proxy, Path], Connection]
"""To a proxy, with the key in this file. Raises OSError."""


@dataclass
class SshConnection:
    """Forwards are added and cancelled one by one: those that stay are not touched."""

    folder: Path
    process: subprocess.Popen[str]
    last_words: str = ""

    @classmethod
    def open(cls, proxy: Proxy, key: Path) -> SshConnection:
        """Begins; `is_up` says when the proxy has let it in. Raises OSError."""
        folder = Path(tempfile.mkdtemp(prefix="gl-"))  # the path of a socket has at most 107 characters
        known_hosts = folder / "known_hosts"
        known_hosts.write_text(f"{ALIAS} {proxy.host_key}\n")
        reach = ["-N", "-p", str(proxy.port), f"{proxy.user}@{proxy.address}"]
        command = ["setpriv", "--pdeathsig", "TERM", "ssh", *_options(folder, known_hosts, key), *reach]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        made = cls(folder, process)
        assert process.stderr is not None
        threading.Thread(target=made._listen, args=(process.stderr,), name="tunnel words", daemon=True).start()
        return made

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def is_up(self) -> bool:
        """ssh makes its control socket once it is logged in."""
        return self.is_alive and self._control.exists()

    def add(self, forward: Forward) -> bool:
        return self._tell("forward", forward)

    def cancel(self, forward: Forward) -> None:
        """One that does not obey is ended: what it forwards to may be somebody else's by and by."""
        if not self._tell("cancel", forward):
            self.close()

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _control(self) -> Path:
        return self.folder / "control"

    def _tell(self, deed: str, forward: Forward) -> bool:
        command = ["ssh", "-F", "/dev/null", "-S", str(self._control), "-O", deed, "-R", forward.spec, ALIAS]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TELL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.close()  # what it did is unknown, so it may do nothing more
            return False
        except OSError:
            return False
        return done.returncode == 0

    def _listen(self, stream: IO[str]) -> None:
        for line in stream:
            self.last_words = line.strip() or self.last_words


def _options(folder: Path, known_hosts: Path, key: Path) -> Sequence[str]:
    """Nothing of the machine's own configuration, and no more than forwarding from there to here."""
    options = {
        "ControlMaster": "yes",
        "ControlPath": str(folder / "control"),
        "ControlPersist": "no",
        "BatchMode": "yes",
        "IdentityFile": str(key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "PreferredAuthentications": "publickey",
        "HostKeyAlias": ALIAS,
        "HostKeyAlgorithms": "ssh-ed25519",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "UpdateHostKeys": "no",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PermitLocalCommand": "no",
        "ConnectTimeout": "10",
        "ServerAliveInterval": str(ALIVE_S),
        "ServerAliveCountMax": str(ALIVE_TRIES),
        "LogLevel": "ERROR",
    }
    return ["-F", "/dev/null", "-T", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
