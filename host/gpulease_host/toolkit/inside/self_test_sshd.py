"""Part of the self-test: sshd comes as far as it does for whoever has no key, which takes all programs it consists of.

Runs under the toolkit's Python, with sshd's configuration as the argument.
"""

from __future__ import annotations

import socket
import subprocess
import sys

SSHD = "/.gl/bin/sshd"
PATIENCE_S = 20.0
KEY_EXCHANGE_BEGINS = 20
"""The number of SSH_MSG_KEXINIT. Who is locked up by then, in a folder and by seccomp, says it."""


def main(config: str) -> None:
    ours, theirs = socket.socketpair()
    command = [SSHD, "-i", "-e", "-o", "LogLevel=ERROR", "-f", config]
    with theirs:
        server = subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno())
    try:
        greeting, packet = begin(ours)
    except OSError as error:
        sys.exit(f"sshd does not answer: {error}")
    finally:
        server.kill()
        server.wait()
    if not greeting.startswith(b"SSH-2.0-") or packet[5:] != bytes([KEY_EXCHANGE_BEGINS]):
        sys.exit(f"sshd says {greeting!r} and {packet!r}")


def begin(connection: socket.socket) -> tuple[bytes, bytes]:
    """Its greeting, and the head of its first packet: length, padding's length, number. Raises OSError."""
    connection.settimeout(PATIENCE_S)
    with connection, connection.makefile("rwb") as stream:
        stream.write(b"SSH-2.0-self_test\r\n")
        stream.flush()
        return stream.readline(255), stream.read(6)


if __name__ == "__main__":
    main(sys.argv[1])
