"""`gpulease-host accept ORDER`: hands an order to the daemon, in a few milliseconds.

The SSM agent runs this as its only line and runs five commands at a time, so nothing is imported here that is not
needed, and nothing is done here but the handing over.
"""

import binascii
import json
import os
import socket

SOCKET_NAME = "daemon.sock"
DEFAULT_FOLDER = "/var/lib/gpulease"
TIMEOUT_S = 30

Request = dict[str, object]
Answer = dict[str, object]


class AcceptError(Exception):
    """The order was not handed over; the text says why, in one line."""


def accept(order: str, folder: str) -> str:
    """Hand the order over and answer with the daemon's line. Raises AcceptError."""
    answer = ask(folder, {"op": "accept", "command": decode(order)})
    return json.dumps(answer)


def status(folder: str) -> str:
    """The daemon's whole state. Raises AcceptError."""
    return json.dumps(ask(folder, {"op": "status"}))


def decode(order: str) -> object:
    """base64url of JSON. Raises AcceptError."""
    try:
        padded = order.replace("-", "+").replace("_", "/") + "=" * (-len(order) % 4)
        return json.loads(binascii.a2b_base64(padded, strict_mode=True))
    except ValueError:
        raise AcceptError("the order is not base64url of JSON") from None


def ask(folder: str, request: Request) -> Answer:
    """One question to the daemon. Raises AcceptError."""
    try:
        answer = json.loads(_exchange(folder, json.dumps(request).encode() + b"\n"))
    except OSError as error:
        raise AcceptError(f"no daemon answers in {folder}: {error.strerror or 'it is too slow'}") from None
    except ValueError:
        raise AcceptError(f"the daemon in {folder} broke off") from None
    if "error" in answer:
        raise AcceptError(str(answer["error"]))
    return dict(answer)


def _exchange(folder: str, line: bytes) -> bytes:
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_S)
            # A socket's path holds 107 bytes; through the folder's descriptor, any folder does.
            connection.connect(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                return answers.readline()
    finally:
        os.close(descriptor)
