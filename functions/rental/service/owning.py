"""What an owner may change: a registered host of their own, that was not given up."""

from rental.domain.book import Book
from rental.domain.errors import HostNotReadyError, HostRetiredError, NotFoundError
from rental.domain.host import HostStatus
from rental.domain.ids import HostId
from rental.ports import Principal
from rental.service.ledger import Ledger


def open_own_book(ledger: Ledger, host_id: HostId, caller: Principal) -> Book:
    """The host's manifest, read consistently. Raises NotFoundError, HostNotReadyError, HostRetiredError."""
    manifest = ledger.store.read_manifest(host_id)
    if manifest is None:
        host = ledger.store.read_host(host_id)
        if host is not None and host.owner == caller.account and host.status is HostStatus.REGISTERING:
            raise HostNotReadyError("The machine has not registered yet. Run the install command on it first.")
        raise NotFoundError("There is no such host.")
    if manifest.owner != caller.account:
        raise NotFoundError("There is no such host.")
    if manifest.retired is not None:
        raise HostRetiredError("The host was given up. Add its machine as a new host.")
    return Book(manifest)
