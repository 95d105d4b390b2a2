"""A host that cannot be trusted to answer: silent, or two machines under one name. What is wanted stays untouched.

A silent host is out of the market and its instances show `offline`; leases stay, for its containers may well run. Its
next report brings everything back to what is (`observation.py`).
"""

from dataclasses import replace

from rental.domain.allocation import Manifest
from rental.domain.book import Book, Cause
from rental.domain.host import Host, HostStatus
from rental.domain.lifecycle import InstanceStatus

SERVICE = Cause("service", "host silent")


def close_silent(manifest: Manifest, since: int, seq: int) -> Manifest:
    """Take a host off the market that was last heard at `since` with report `seq`, unless it was heard meanwhile."""
    if manifest.heard_seq > seq or manifest.offline_since is not None:
        return manifest
    return replace(manifest, offline_since=since)


def fall_silent(book: Book, now: int) -> Book:
    """Show the instances of the book's contracts as offline, if the host still is. Repeats change nothing."""
    since = book.manifest.offline_since
    if since is None:
        return book
    for contract in tuple(book.contracts.values()):
        if contract.offline_since is not None:
            continue
        silent = contract.fall_silent(since)
        book = book.with_contract(silent)
        for each in silent.instances:
            if not each.is_removed:
                status, reason = InstanceStatus.OFFLINE, silent.reason_of(each)
                book = book.note(contract.id, status, now, SERVICE, instance_id=each.id, reason=reason)
    return book


def quarantine(host: Host, manifest: Manifest, seq: int) -> tuple[Host, Manifest]:
    """Believe nothing more of a host whose report number came from two starts of its daemon."""
    reason = (
        f"Two machines report as this host: report {seq} came from two starts of its daemon. Its reports are refused"
        " and nothing new is rented on it. See who else has its machine key, then add the machine as a new host."
    )
    return replace(host, status=HostStatus.QUARANTINED, reason=reason), replace(manifest, barred=reason)
