"""Who may open tunnels to the proxies, and what for: hosts make their key known, proxies ask by it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rental.domain.book import Book
from rental.domain.errors import BusyError, ConflictError, NotCurrentError, NotFoundError
from rental.domain.host import Host, HostStatus
from rental.domain.ids import HostId
from rental.domain.tunnel import TunnelKeyPlace, fingerprint_of
from rental.ports import Clock, Extras, GuardFailedError, Store, TakenError
from rental.service.proxying import Binding, Proxying


@dataclass(frozen=True)
class HostPorts:
    host_id: HostId
    bindings: Sequence[Binding]


@dataclass(frozen=True)
class Tunneling:
    store: Store
    clock: Clock

    def introduce(self, host_id: HostId, public_key: str) -> Host:
        """From now on the host logs in to proxies with this key, and with no other. Repeats change nothing.

        Raises InvalidRequestError, NotCurrentError, ConflictError, BusyError.
        """
        fingerprint = fingerprint_of(public_key)
        host, manifest = self.store.read_host(host_id), self.store.read_manifest(host_id)
        if host is None or manifest is None:
            raise NotCurrentError("This host is not registered.")
        if host.tunnel_key == fingerprint:
            return host
        holder = self.store.read_tunnel_host(fingerprint)
        if holder not in (None, host_id):
            raise ConflictError("Another host has this tunnel key. Make a new one.")
        introduced = replace(host, tunnel_key=fingerprint)
        place = TunnelKeyPlace(fingerprint, host_id) if holder is None else None
        book = Book(manifest)
        try:
            self.store.commit(book, book, Extras(host=introduced, tunnel_key=place))
        except (GuardFailedError, TakenError) as error:
            raise BusyError("The host changed meanwhile. Send the same key again.") from error
        return introduced

    def ports_of(self, fingerprint: str) -> HostPorts:
        """What the host that logs in with this key may listen on now. Read consistently: it is asked at each login.

        Raises NotFoundError, also for a key that has been replaced and for a host that is not believed any more.
        """
        host_id = self.store.read_tunnel_host(fingerprint)
        host = self.store.read_host(host_id) if host_id is not None else None
        if host is None or host.tunnel_key != fingerprint or host.status is not HostStatus.ACTIVE:
            raise NotFoundError("No host has this key.")
        return HostPorts(host.id, Proxying(self.store, self.clock).bindings_of_host(host.id))
