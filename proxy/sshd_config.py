"""What sshd is told: hosts come in with a key that the service knows, and do nothing but listen on their own ports."""

from __future__ import annotations

import subprocess
from pathlib import Path

from proxy.service import HostPorts
from proxy.settings import Settings

ALIVE_S = 5
ALIVE_TRIES = 3
"""For connections that forward nothing; the warden minds the others, more reliably."""


def key_options(settings: Settings, known: HostPorts) -> str:
    """The options of a host's key in the form of authorized_keys: its own contracts' ports, and nothing else."""
    addresses = {"ssh": settings.public_address, "jupyter": settings.loopback_address}
    permitted = [f'permitlisten="{addresses[each.kind]}:{each.port}"' for each in known.bindings]
    if not permitted:
        raise ValueError("without a permitlisten sshd would permit every port")
    return ",".join(["restrict", "port-forwarding", *permitted, 'command="/bin/false"'])


def penalizes_sources(sshd: str) -> bool:
    """Whether this sshd locks an address out after failed logins unless it is told not to; one before 9.8 does not."""
    said = subprocess.run(
        [sshd, "-G", "-f", "/dev/null"], capture_output=True, text=True, errors="replace", check=False
    )
    return any(line.lower().startswith("persourcepenalties ") for line in said.stdout.splitlines())


def sshd_config(settings: Settings, python: Path, asking: Path, penalizes: bool) -> str:
    """`asking` is the program that asks the desk. sshd wants a command that only root could change: `python` is."""
    command = f"{python} -I -S {asking} {settings.desk_socket} %t %k"
    lines = (
        f"ListenAddress {settings.tunnel_address}:{settings.tunnel_port}",
        f"HostKey {settings.host_key}",
        f"PidFile {settings.folder / 'sshd.pid'}",
        "LogLevel VERBOSE",
        # Who comes in.
        f"AllowUsers {settings.user}",
        "AuthenticationMethods publickey",
        "PubkeyAuthentication yes",
        "PubkeyAcceptedAlgorithms ssh-ed25519",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "HostbasedAuthentication no",
        "UsePAM no",
        "AuthorizedKeysFile none",
        f"AuthorizedKeysCommand {command}",
        f"AuthorizedKeysCommandUser {settings.user}",
        "LoginGraceTime 20",
        "MaxAuthTries 2",
        "MaxStartups 400",
        # Hosts behind one NAT have one address: none may lock the others out, nor may a stranger beside them.
        "PerSourceMaxStartups none",
        *(["PerSourcePenalties no"] if penalizes else []),
        # What they may do: ask for a port to listen on, of those that their key permits.
        "AllowTcpForwarding remote",
        "GatewayPorts clientspecified",
        "AllowStreamLocalForwarding no",
        "AllowAgentForwarding no",
        "PermitTunnel no",
        "X11Forwarding no",
        "PermitTTY no",
        "PermitUserRC no",
        "PermitUserEnvironment no",
        "MaxSessions 0",
        "ForceCommand /bin/false",
        "PrintMotd no",
        # Whom they lose.
        f"ClientAliveInterval {ALIVE_S}",
        f"ClientAliveCountMax {ALIVE_TRIES}",
        "TCPKeepAlive yes",
        "UseDNS no",
    )
    return "\n".join([*lines, ""])
