"""Who answers whom: ports of TCP and UDP, asked and answered from any network namespace of this machine.

It is run as a program of its own, because a namespace belongs to a process: `knocking.py serve TCP UDP` answers on
every address, `knocking.py ask JSON` prints those of the targets that answered within a second.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

PATIENCE_S = 1.0
_IP_PKTINFO = 8
READY = "ready"

Target = tuple[str, str, int]
"""Protocol, address, port."""


@contextmanager
def serving(into: Sequence[str], tcp: int, udp: int) -> Iterator[None]:
    """`into` is what goes before the command: nothing, or what enters a namespace."""
    command = [*into, sys.executable, "-ES", __file__, "serve", str(tcp), str(udp)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().strip() == READY
            yield
        finally:
            server.terminate()


def answering(into: Sequence[str], targets: Iterable[Target]) -> set[Target]:
    command = [*into, sys.executable, "-ES", __file__, "ask", json.dumps(sorted(targets))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {(protocol, address, port) for protocol, address, port in json.loads(done.stdout)}


def _serve(tcp: int, udp: int) -> None:
    listener = socket.create_server(("0.0.0.0", tcp))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("0.0.0.0", udp))
    threading.Thread(target=_echo, args=[datagrams], daemon=True).start()
    print(READY, flush=True)
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"here")
        connection.close()


def _echo(datagrams: socket.socket) -> None:
    """From the address that was asked: an answer from another one is no answer to a firewall."""
    datagrams.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    while True:
        _, [(level, kind, told)], _, sender = datagrams.recvmsg(100, 100)
        asked = told[8:12]
        datagrams.sendmsg([b"here"], [(level, kind, struct.pack("=i4s4x", 0, asked))], 0, sender)


def _ask(targets: list[Target]) -> list[Target]:
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(_answers, targets))
    return [target for target, answer in zip(targets, answers, strict=True) if answer]


def _answers(target: Target) -> bool:
    """A word that comes back: a proxy that takes a connection and cannot pass it on is no answer."""
    protocol, address, port = target
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as caller:
        caller.settimeout(PATIENCE_S)
        try:
            if protocol == "tcp":
                caller.connect((address, port))
                caller.send(b"anybody?")
            else:
                caller.sendto(b"anybody?", (address, port))
            return caller.recv(100) == b"here"
        except OSError:
            return False


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(int(sys.argv[2]), int(sys.argv[3]))
    else:
        print(json.dumps(_ask([(each[0], each[1], each[2]) for each in json.loads(sys.argv[2])])))
