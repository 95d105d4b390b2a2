"""Whether people can get into an instance, tried as they would: a real ssh session, a real HTTPS request.

Each answers None or a sentence that says what is not there yet. Who answers may be a tenant's own program on these
ports, so each try ends in time and reads little, whatever comes.
"""

from __future__ import annotations

import re
import ssl
import subprocess
import time

from gpulease_host.launch.attempt import outcome
from gpulease_host.launch.instance_files import KNOWN_AS, InstanceFiles
from gpulease_host.launch.status_line import status_line
from gpulease_host.launch.tls import authority_of
from gpulease_host.toolkit import layout

CONNECT_TIMEOUT_S = 2
SSH_TIMEOUT_S = 8
SSH_SAID_CHARACTERS = 200
HTTP_TIMEOUT_S = 4
STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")


def why_ssh_is_not_reached(address: str, files: InstanceFiles, timeout_s: float = SSH_TIMEOUT_S) -> str | None:
    """An authenticated session, with the key of this host, against the instance's own host key."""
    options = {
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(files.known_host),
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlias": KNOWN_AS,
        "ConnectTimeout": str(CONNECT_TIMEOUT_S),
        "ControlMaster": "no",
        "LogLevel": "ERROR",
    }
    command = ["ssh", "-F", "/dev/null", "-T", "-i", str(files.probe_key), "-p", str(layout.SSH_PORT)]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    try:
        code, said = outcome([*command, f"root@{address}", "true"], timeout_s)
    except subprocess.TimeoutExpired:
        return "ssh does not answer yet."
    except FileNotFoundError:
        return "This host has no ssh program to try the way in. As root, run: apt-get install -y openssh-client"
    if code == 0:
        return None
    last = (said.strip().splitlines() or [f"it ended with {code}"])[-1]
    return f"ssh does not let anyone in yet: {last.strip()[:SSH_SAID_CHARACTERS]}"


def why_jupyter_is_not_reached(address: str, files: InstanceFiles, timeout_s: float = HTTP_TIMEOUT_S) -> str | None:
    """A request that only the token's holder gets answered, from one whom the service's authority vouches for.

    Not by its name: it is asked at an address that only this host knows. `timeout_s` is for all of it.
    """
    certificate, token = files.certificate, files.token
    if certificate is None or token is None:
        return "JupyterLab has no certificate or token yet."
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=authority_of(certificate))
    try:
        line = status_line(
            (address, layout.JUPYTER_PORT), _request(address, token), context, time.monotonic() + timeout_s
        )
    except OSError as error:
        return f"JupyterLab does not answer yet ({type(error).__name__})."
    status = STATUS.match(line)
    if status is None:
        return "JupyterLab does not speak HTTP yet."
    return None if status[1] == b"200" else f"JupyterLab answers {status[1].decode()} to its own token."


def _request(address: str, token: str) -> bytes:
    lines = [
        "GET /api/status HTTP/1.1",
        f"Host: {address}:{layout.JUPYTER_PORT}",
        f"Authorization: token {token}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
