"""sshd's AuthorizedKeysCommand: asks the desk whether a key lets its holder in, and says with which options.

    ask_desk.py <socket> <kind of key> <key>

A copy of this file is run by itself for each login, so it imports little. The process that asks stands for the
connection from then on: it is sshd's monitor of it.
"""

import base64
import binascii
import hashlib
import os
import socket
import sys

MOST_BYTES = 1_000_000


def main(path: str, kind: str, key: str) -> None:
    try:
        fingerprint = hashlib.sha256(base64.b64decode(key, validate=True)).hexdigest()
        status, options = ask(path, f"/keys/{fingerprint}?pid={os.getppid()}")
    except (OSError, ValueError, binascii.Error) as error:
        print(f"the desk does not answer ({type(error).__name__})", file=sys.stderr)
        return
    if status == 200:
        print(f"{options} {kind} {key}")


def ask(path: str, target: str) -> tuple[int, str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as desk:
        desk.settimeout(15)
        desk.connect(path)
        desk.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        answer = b""
        while chunk := desk.recv(65536):
            answer += chunk
            if len(answer) > MOST_BYTES:
                raise ValueError("too long")
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split()
    if len(words) < 2:
        raise ValueError("no answer")
    return int(words[1]), body.decode().strip()


if __name__ == "__main__":
    main(*sys.argv[1:4])
