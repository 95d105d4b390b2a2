"""How long ago each TCP connection of this machine last brought data, asked of the kernel (sock_diag).

sshd's own ClientAliveInterval does not do: OpenSSH 9.2 counts only while nothing else happens, so a tunnel whose host
is gone is kept for as long as clients try its ports. Hosts say something every 5 s.
"""

from __future__ import annotations

import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
DUMP_REQUEST = 0x301
NLMSG_ERROR, NLMSG_DONE = 2, 3
ESTABLISHED = 1 << 1
INET_DIAG_INFO = 2
HEADER = struct.Struct("=IHHII")
ATTRIBUTE = struct.Struct("=HH")
MESSAGE_BYTES = 72
INODE_AT = 68
PORT_AT, ADDRESS_AT = 4, 8
"""Of this machine's end."""
ANY = "0.0.0.0"
LAST_DATA_RECEIVED_AT = 52
"""In `struct tcp_info`, milliseconds."""
RECEIVE_BYTES = 1 << 16


def silence_s(address: str, port: int) -> dict[str, float]:
    """Seconds since the last data, by the inode of the socket, of all connections to an address and port of ours.

    The address 0.0.0.0 stands for all. Raises OSError.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        asked = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, ESTABLISHED)
        body = asked + bytes(48)
        kernel.send(HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, DUMP_REQUEST, 1, 0) + body)
        found: dict[str, float] = {}
        while _take(kernel.recv(RECEIVE_BYTES), address, port, found):
            pass
        return found


def _take(datagram: bytes, address: str, port: int, found: dict[str, float]) -> bool:
    """Whether there is more to come."""
    while len(datagram) >= HEADER.size:
        length, kind = HEADER.unpack_from(datagram)[:2]
        if kind in (NLMSG_ERROR, NLMSG_DONE):
            return False
        message, datagram = datagram[HEADER.size : length], datagram[(length + 3) & ~3 :]
        if len(message) >= MESSAGE_BYTES and _is_at(message, address, port):
            milliseconds = _last_data(message[MESSAGE_BYTES:])
            if milliseconds is not None:
                found[str(struct.unpack_from("=I", message, INODE_AT)[0])] = milliseconds / 1000
    return True


def _is_at(message: bytes, address: str, port: int) -> bool:
    if struct.unpack_from("!H", message, PORT_AT)[0] != port:
        return False
    return address in (ANY, socket.inet_ntoa(message[ADDRESS_AT : ADDRESS_AT + 4]))


def _last_data(attributes: bytes) -> int | None:
    while len(attributes) >= ATTRIBUTE.size:
        length, kind = ATTRIBUTE.unpack_from(attributes)
        if kind == INET_DIAG_INFO and length >= ATTRIBUTE.size + LAST_DATA_RECEIVED_AT + 4:
            return int(struct.unpack_from("=I", attributes, ATTRIBUTE.size + LAST_DATA_RECEIVED_AT)[0])
        if length < ATTRIBUTE.size:
            return None
        attributes = attributes[(length + 3) & ~3 :]
    return None
