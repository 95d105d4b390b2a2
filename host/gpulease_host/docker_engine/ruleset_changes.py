"""Whether anybody has changed the kernel's nftables rules, those of iptables' nft variant included.

A reload of another firewall wipes rules; the kernel tells so at once, and a minute would be long. The legacy variant
of iptables tells nothing: there the regular check has to do.
"""

from __future__ import annotations

import socket

_NETLINK_NETFILTER = 12
_GROUP_NFTABLES = 1 << 6
_LARGEST_MESSAGE_BYTES = 1 << 16


class RulesetChanges:
    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._count = 0
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
            self._socket.bind((0, _GROUP_NFTABLES))
        except OSError:  # a kernel without nftables, or not root
            self.close()

    def seen(self) -> bool:
        """Since the last look. More than the kernel keeps for us is a change too, and ends with an error."""
        found = False
        while self._socket is not None:
            try:
                self._socket.recv(_LARGEST_MESSAGE_BYTES)
            except BlockingIOError:
                break
            except OSError:
                pass
            found = True
        return found

    def count(self) -> int:
        """Another number than before: there were changes."""
        self._count += self.seen()
        return self._count

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
