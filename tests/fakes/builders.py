"""Plain values to start a test from: a listed 4-GPU host, a request for one of its GPUs, a contract."""

from dataclasses import replace

from rental.domain.allocation import Listing, Manifest, slice_sizes
from rental.domain.book import Book, Cause
from rental.domain.contract import Contract, Launch, Sealed
from rental.domain.host import Gpu, Inventory
from rental.domain.ids import ContractId, HostId, OfferId
from rental.domain.lifecycle import InstanceStatus
from rental.domain.observation import Report, ReportedGpu, ReportedInstance, ReportedStatus, observe
from rental.domain.publishing import count_proxy_ports
from rental.domain.readiness import Readiness
from rental.domain.renting import Drawn, RentalRequest, RentalTerms, open_contract
from rental.domain.shares import GIB
from rental.domain.ways_in import Direct, HostPort, Proxy
from tests.fakes.ports import NOW

HOST = HostId(7)
OWNER = "owner"
CLIENT = "client"
CAUSE = Cause(CLIENT, "test")
TERMS = RentalTerms(grace_s=172_800, provision_timeout_s=600)
DIRECT = Direct("203.0.113.5", 20_000, 20_999)
PROXY = Proxy(("198.51.100.1", "198.51.100.2"), "proxy.example.com", 30_000, 39_999)
DISK_GIB = 100
LISTED_FOR_S = 30 * 86_400
MOST_GPUS = 64


def make_inventory(gpus: int = 4, **changes: object) -> Inventory:
    inventory = Inventory(
        gpus=tuple(Gpu(index, f"GPU-{index:04d}", "Test GPU", 80 * GIB) for index in range(gpus)),
        simulated=True,
        cpus=64,
        memory_bytes=256 * GIB + 3,
        disk_bytes=DISK_GIB * GIB,
        disk_enforced=True,
        unenforced=("io",),
        driver_version=None,
        docker_version="20.10.24",
        cgroup_version=1,
        hostname="metal",
    )
    return replace(inventory, **changes)  # type: ignore[arg-type]


def make_listing(gpus: int = 4, now: int = NOW, min_gpus: int = 1) -> Listing:
    return Listing(
        gpu_price_microusd_h=1_250_000,
        disk_price_microusd_gib_month=150_000,
        end_at=now + LISTED_FOR_S,
        min_gpus=min_gpus,
        allow_soft_disk=False,
        revision=1,
        offers={size: OfferId(1000 + size) for size in slice_sizes(gpus, min_gpus)},
    )


def make_manifest(gpus: int = 4, host_id: HostId = HOST, **inventory_changes: object) -> Manifest:
    inventory = make_inventory(gpus, **inventory_changes)
    return Manifest(host_id, OWNER, inventory, inventory.disk_bytes, make_listing(gpus))


def make_request(num_gpus: int = 1, instances: int = 1, **changes: object) -> RentalRequest:
    request = RentalRequest(
        account=CLIENT,
        offer_id=OfferId(1000 + num_gpus),
        num_gpus=num_gpus,
        label="x",
        launch=Launch("alpine:3", env_keys=("A",), sealed=Sealed("0123456789abcdef", "c2VhbGVk")),
        disk_gib=10,
        duration_s=3600,
        instances=instances,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def rent(book: Book, contract_id: int = 100, now: int = NOW, *, proxy: Proxy | None = None, **request: object) -> Book:
    """The book with one more contract, pending; its numbers on the proxy count up from its id."""
    wanted = make_request(**request)  # type: ignore[arg-type]
    ids = [contract_id + place for place in range(wanted.instances)]
    first = proxy.first_port + contract_id if proxy is not None else 0
    drawn = Drawn(ids, range(first, first + count_proxy_ports(wanted.launch, wanted.instances, proxy)))
    rented = open_contract(book.manifest, wanted, replace(TERMS, proxy=proxy), drawn, now)
    return replace(rented, contracts={**book.contracts, **rented.contracts})


def reported(contract: Contract, status: ReportedStatus, **changes: object) -> list[ReportedInstance]:
    """The host's word that every instance of the contract has this status, at the generation wanted."""
    said = [
        ReportedInstance(
            contract_id=contract.id,
            instance_id=each.id,
            generation=each.generation,
            token=each.token if status in ("loading", "running", "exited", "failed") else None,
            status=status,
            reason=None,
            exit_code=None,
            started_at=NOW if status == "running" else None,
        )
        for each in contract.instances
    ]
    return [replace(each, **changes) for each in said]  # type: ignore[arg-type]


def make_report(
    said: list[ReportedInstance],
    gpus: tuple[ReportedGpu, ...] = (),
    readiness: Readiness | None = None,
    ports_in_use: tuple[HostPort, ...] = (),
) -> Report:
    """The GPUs that `gpus` does not tell of are free."""
    free = {index: ReportedGpu(index, "free", None, f"GPU-{index:04d}") for index in range(MOST_GPUS)}
    told = {gpu.index: gpu for gpu in gpus}
    by_id = {each.instance_id: each for each in said}
    return Report(HOST, by_id, tuple({**free, **told}.values()), readiness or Readiness(), ports_in_use)


def hear(book: Book, contract_id: int, status: ReportedStatus, now: int = NOW, **changes: object) -> Book:
    """The book after the host has said this of the contract's instances."""
    contract = book.contract(ContractId(contract_id))
    return observe(book, make_report(reported(contract, status, **changes)), now)


def active(
    book: Book, contract_id: int = 100, now: int = NOW, *, proxy: Proxy | None = None, **request: object
) -> Book:
    """The book with one more contract, active, its instances running."""
    return hear(rent(book, contract_id, now, proxy=proxy, **request), contract_id, "running", now)


def instance_status(book: Book, contract_id: int = 100) -> InstanceStatus:
    return book.contract(ContractId(contract_id)).instances[0].status
