"""`gpulease-host accept ORDER`: hands an order to the daemon, in a few milliseconds.

The SSM agent runs this as its only line and runs five commands at a time, so it imports next to nothing: neither
`json` nor `socket`, which take longer than all the rest. The daemon reads the order and writes the answer.
"""

import _socket  # `socket` without its enums
import os

SOCKET_NAME = "daemon.sock"
DEFAULT_FOLDER = "/var/lib/gpulease"
TIMEOUT_S = 30


class AcceptError(Exception):
    """The order was not handed over; the text says why, in one line."""


def ask(folder: str, request: str) -> str:
    """One line to the daemon and one back: `ok` and the answer, or `no` and why. Raises AcceptError."""
    if "\n" in request:
        raise AcceptError("the order is more than one line")
    try:
        line = _exchange(folder, request.encode("ascii", "replace") + b"\n").decode()
    except OSError as error:
        raise AcceptError(f"no daemon answers in {folder}: {error.strerror or 'it is too slow'}") from None
    verdict, _, answer = line.rstrip("\n").partition(" ")
    if verdict == "ok" and line.endswith("\n"):
        return answer
    raise AcceptError(answer if verdict == "no" else f"the daemon in {folder} broke off")


def _exchange(folder: str, line: bytes) -> bytes:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(TIMEOUT_S)
        # A socket's path holds 107 bytes; through the folder's descriptor, any folder does.
        connection.connect(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
        connection.sendall(line)
        answer = b""
        while not answer.endswith(b"\n") and (more := connection.recv(1 << 16)):
            answer += more
        return answer
    finally:
        connection.close()
        os.close(descriptor)
