"""The script of a proxy's machine, run for real as root, in namespaces where nothing of it reaches this machine; then a
tunnel and a request through what it has made. What it calls of AWS and of systemd is faked, and packages are those that
are here.

`python -m tests.infra.fresh_debian SCRIPT API_URL HOST_KEY`, with the two words that stand for them in the script.
Prints what was found, as JSON.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from infra.paths import PROXY
from tests.proxy.rig import accepts, wait_for
from tests.proxy.service import KEY, ServiceDouble
from tests.proxy.test_secret_files import certificate, ssh_key

RIG = Path("/run/rig")
NUMBER, INSIDE = 30_005, 18_022
FAKES = {
    "apt-get": "true",
    "systemctl": "true",
    "cloud-init": "echo i-1",
    "aws": f'case "$*" in "s3 cp"*) cp {RIG}/program.zip "${{@: -1}}";; secretsm*) cat {RIG}/secret.json;; esac',
}
ENVIRONMENT = {"PATH": f"{RIG}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"}
AS_USER = ["setpriv", "--reuid=gpulease-proxy", "--regid=gpulease-proxy", "--clear-groups", "--no-new-privs"]
UNIT = Path("/etc/systemd/system/gpulease-proxy.service")


def prepare() -> None:
    for place in ("/run", "/opt", "/var/lib"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place], check=True)
    for folder in (RIG, RIG / "bin", RIG / "keys"):
        folder.mkdir(mode=0o755)
    shutil.copytree("/etc", RIG / "etc", symlinks=True)
    subprocess.run(["mount", "--bind", RIG / "etc", "/etc"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    shutil.make_archive(str(RIG / "program"), "zip", PROXY)
    for name, body in FAKES.items():
        (RIG / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (RIG / "bin" / name).chmod(0o755)


class Machine:
    """What the script has made, started as systemd would: as the unit's user, by the unit's lines."""

    def __init__(self, script: str) -> None:
        subprocess.run(["bash", "-c", script], env=ENVIRONMENT, umask=0o022, stdout=sys.stderr, check=True)
        self.unit = UNIT.read_text()
        self.log = (RIG / "log").open("w+")

    def before(self) -> tuple[int, str]:
        command = [*AS_USER, self._line("ExecStartPre")]
        done = subprocess.run(command, env=self._environment(), cwd="/", capture_output=True, text=True, check=False)
        return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]

    def start(self) -> subprocess.Popen[bytes]:
        command = [*AS_USER, *self._line("ExecStart").split()]
        return subprocess.Popen(command, env=self._environment(), cwd="/", stdout=self.log, stderr=self.log)

    def said(self) -> str:
        return (RIG / "log").read_text()

    def _line(self, name: str) -> str:
        (found,) = re.findall(rf"^{name}=(.*)$", self.unit, re.MULTILINE)
        return str(found)

    def _environment(self) -> dict[str, str]:
        return ENVIRONMENT | dict(word.split("=", 1) for word in self._line("Environment").split())


def tunnel(key: Path, host_key: str) -> subprocess.Popen[bytes]:
    known = key.with_name("known")
    known.write_text(f"[127.0.0.1]:2222 {host_key}\n")
    options = ("BatchMode=yes", f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "ExitOnForwardFailure=yes")
    named = [part for option in options for part in ("-o", option)]
    to = ["-p", "2222", "-N", "-R", f"0.0.0.0:{NUMBER}:127.0.0.1:{INSIDE}", "gpulease-proxy@127.0.0.1"]
    return subprocess.Popen(["ssh", "-F", "/dev/null", "-i", str(key), *named, *to])


def serve(answer: bytes) -> None:
    """As a container would, at the tunnel's end."""
    server = socket.create_server(("127.0.0.1", INSIDE))

    def answer_all() -> None:
        while True:
            visitor, _ = server.accept()
            visitor.sendall(answer)

    threading.Thread(target=answer_all, daemon=True).start()


def visit() -> str:
    with socket.create_connection(("127.0.0.1", NUMBER), 10) as connection:
        return connection.recv(100).decode()


def status(name: str) -> str:
    asking = ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", f"{name}:443:127.0.0.1"]
    return subprocess.run([*asking, f"https://{name}/"], capture_output=True, text=True, check=False).stdout


def owners(*programs: str) -> list[str]:
    listed = subprocess.run(["ps", "-C", ",".join(programs), "-o", "user:32="], capture_output=True, text=True)
    return sorted(set(listed.stdout.split()))


def main() -> int:
    script, api_url, named_key = sys.argv[1:]
    prepare()
    service = ServiceDouble()
    host_key, public = ssh_key(RIG / "keys", "host")
    ssh_key(RIG / "keys", "tunnel")
    tls_certificate, tls_key = certificate()
    service.ca = tls_certificate.encode()
    service.permit((RIG / "keys/tunnel.pub").read_text(), 7, (100, "ssh", NUMBER))
    machine = Machine(Path(script).read_text().replace(api_url, service.url).replace(named_key, public))
    found: dict[str, Any] = {"without a secret": machine.before()}
    parts = {"api_key": KEY, "host_key": host_key, "tls_certificate": tls_certificate, "tls_key": tls_key}
    (RIG / "secret.json").write_text(json.dumps(parts))
    found["with a secret"] = machine.before()
    process = machine.start()
    wait_for(lambda: accepts("127.0.0.1", 2222) and accepts("127.0.0.1", 443), machine.said)
    serve(b"container")
    host = tunnel(RIG / "keys/tunnel", public)
    wait_for(lambda: accepts("127.0.0.1", NUMBER), machine.said)
    found["by the tunnel"] = visit()
    found["by the zone's name"] = status("j-5.gpu.example.com")
    found["owners"] = owners("sshd", "nginx")
    found["not for the kernel"] = Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip()
    host.terminate()
    process.terminate()
    found["ended with"] = process.wait(20)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
