"""How values lie in the one table: keys, index attributes and what belongs together in a transaction.

pk                sk         what
C#<contract>      C          contract with its instances
C#<contract>      E#<seq>    one line of its timeline
H#<host>          H          host
H#<host>          CAP        the host's manifest
O#<offer>         O          where an offer stands
T#<fingerprint>   T          whose tunnel key this is, for ever
P#<port>          P          whose number of the proxy this is
A#<account>       A          account
A#<account>       SSH        its SSH keys
K#<sha256>        K          API key
I#<account>#<digest> I       idempotency memo, removed by `ttl`
X#<call>          X          a client's call to an instance, removed by `ttl`
CA#<key>#<zone>   CA        certificate of the authority, made once
FIRST-ADMIN       FIRST-ADMIN   that the first administrator's key was made; written at deployment

GSI1 account → contracts (C#…) and API keys (K#…), ACCOUNTS → accounts
GSI2 owner → hosts, LISTED → manifests on the market, RETIRING → manifests of retired hosts that carry contracts
GSI3 sparse: DUE, next_due
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rental.adapters.records import from_record, to_record
from rental.domain.access import Account, ApiKey
from rental.domain.allocation import Manifest
from rental.domain.book import Book, TimelineEntry
from rental.domain.calls import Call
from rental.domain.contract import Contract
from rental.domain.host import Host
from rental.domain.ids import ContractId, HostId, OfferId
from rental.domain.key_ring import KeyRing
from rental.ports import AuthorityRecord, Extras, Memo, OfferPlace

VERSION = 1
Item = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True)
class Guarded:
    """One write of a transaction, and what must still be true of its item.

    `expected_rev`: the item has this revision; 0 means that it does not exist. `replace_expired_at`: it does not
    exist, or its `ttl` is at most this. Neither: no condition. `item` None deletes.
    """

    key: Key
    item: Item | None
    expected_rev: int | None = None
    replace_expired_at: int | None = None


def contract_key(contract_id: ContractId) -> Key:
    return (f"C#{contract_id}", "C")


def timeline_key(contract_id: ContractId, seq: int) -> Key:
    return (f"C#{contract_id}", f"E#{seq:08d}")


def host_key(host_id: HostId) -> Key:
    return (f"H#{host_id}", "H")


def manifest_key(host_id: HostId) -> Key:
    return (f"H#{host_id}", "CAP")


def offer_key(offer_id: OfferId) -> Key:
    return (f"O#{offer_id}", "O")


def tunnel_key(fingerprint: str) -> Key:
    return (f"T#{fingerprint}", "T")


def principal_key(api_key_sha256: str) -> Key:
    return (f"K#{api_key_sha256}", "K")


def account_key(name: str) -> Key:
    return (f"A#{name}", "A")


def key_ring_key(account: str) -> Key:
    return (f"A#{account}", "SSH")


def memo_key(account: str, key: str) -> Key:
    return (f"I#{account}#{key}", "I")


def proxy_port_key(port: int) -> Key:
    return (f"P#{port}", "P")


def call_key(call_id: str) -> Key:
    return (f"X#{call_id}", "X")


def authority_key(key_id: str, zone: str) -> Key:
    return (f"CA#{key_id}#{zone}", "CA")


def contract_item(contract: Contract) -> Item:
    item = _item(contract_key(contract.id), contract)
    item |= {"delete_after": contract.delete_after}
    item |= {"gsi1pk": f"A#{contract.account}", "gsi1sk": f"C#{contract.id:016d}"}
    if contract.next_due is not None:
        item |= {"gsi3pk": "DUE", "next_due": contract.next_due}
    return item


def manifest_item(manifest: Manifest) -> Item:
    item = _item(manifest_key(manifest.host_id), manifest)
    sort_key = f"H#{manifest.host_id:016d}"
    if manifest.listing is not None:
        item |= {"gsi2pk": "LISTED", "gsi2sk": sort_key}
    elif manifest.retired is not None and manifest.claims:
        item |= {"gsi2pk": "RETIRING", "gsi2sk": sort_key}
    return item


def host_item(host: Host) -> Item:
    return _item(host_key(host.id), host) | {"gsi2pk": f"W#{host.owner}", "gsi2sk": f"H#{host.id:016d}"}


def account_item(account: Account) -> Item:
    return _item(account_key(account.name), account) | {"gsi1pk": "ACCOUNTS", "gsi1sk": f"A#{account.name}"}


def api_key_item(key: ApiKey) -> Item:
    index = {"gsi1pk": f"A#{key.account}", "gsi1sk": f"K#{key.created_at:010d}#{key.id}"}
    return _item(principal_key(key.id), key) | index


def key_ring_item(ring: KeyRing) -> Item:
    return _item(key_ring_key(ring.account), ring)


def call_item(call: Call) -> Item:
    return _item(call_key(call.id), call) | {"ttl": call.expires_at}


def authority_item(record: AuthorityRecord) -> Item:
    return _item(authority_key(record.key_id, record.zone), record)


def load_authority(item: Mapping[str, Any]) -> AuthorityRecord:
    return from_record(AuthorityRecord, _without_keys(item))


def load_call(item: Mapping[str, Any]) -> Call:
    return from_record(Call, _without_keys(item))


def load_contract(item: Mapping[str, Any]) -> Contract:
    return from_record(Contract, _without_keys(item))


def load_manifest(item: Mapping[str, Any]) -> Manifest:
    return from_record(Manifest, _without_keys(item))


def load_host(item: Mapping[str, Any]) -> Host:
    return from_record(Host, _without_keys(item))


def load_timeline_entry(item: Mapping[str, Any]) -> TimelineEntry:
    return from_record(TimelineEntry, _without_keys(item))


def load_offer_place(item: Mapping[str, Any]) -> OfferPlace:
    return from_record(OfferPlace, _without_keys(item))


def load_account(item: Mapping[str, Any]) -> Account:
    return from_record(Account, _without_keys(item))


def load_api_key(item: Mapping[str, Any]) -> ApiKey:
    # what keys of the first deployments lack
    earlier = {"id": item["pk"].removeprefix("K#"), "label": ""}
    return from_record(ApiKey, {**earlier, **_without_keys(item)})


def load_key_ring(item: Mapping[str, Any]) -> KeyRing:
    return from_record(KeyRing, _without_keys(item))


def load_memo(item: Mapping[str, Any]) -> Memo:
    earlier = {}
    if "contract_id" in item:  # written before memos were of more than contracts
        earlier["made"] = str(item["contract_id"])
    if "body_sha256" in item:  # written before the digest was keyed
        earlier["request_digest"] = item["body_sha256"]
    return from_record(Memo, {**earlier, **_without_keys(item)})


def creation_of(item: Item, memo: Memo | None, commit_id: str) -> list[Guarded]:
    """The writes that make one new item, and the memo of the request that asked for it."""
    return replacement_of(item, 0, commit_id, memo)


def replacement_of(item: Item, rev: int, commit_id: str, memo: Memo | None = None) -> list[Guarded]:
    """The writes of one item over what was read at revision `rev`, and of the memo of the request."""
    return [_signed(write, commit_id) for write in (_next(item, rev), *_extra_writes(Extras(memo=memo)))]


def writes_of(before: Book, after: Book, extras: Extras, commit_id: str) -> list[Guarded]:
    """Every write that makes `after` of `before`; what did not change is not written."""
    writes = []
    if after.manifest != before.manifest or after.manifest.rev == 0:
        writes.append(_next(manifest_item(after.manifest), after.manifest.rev))
    for contract_id, contract in after.contracts.items():
        if contract != before.contracts.get(contract_id):
            writes.append(_next(contract_item(contract), contract.rev))
            writes += _proxy_port_writes(before.contracts.get(contract_id), contract)
    writes += [_next(_item(timeline_key(each.contract_id, each.seq), each), 0) for each in after.timeline]
    writes += _extra_writes(extras)
    return [_signed(write, commit_id) for write in writes]


def _proxy_port_writes(before: Contract | None, contract: Contract) -> Iterator[Guarded]:
    """A number of the proxy is an item: new with its contract, so that nobody else has it, and gone with it.

    What goes needs no condition: the contract's own says that it is the first time, and until then it was the holder.
    """
    if contract.rev == 0:
        for instance in contract.instances:
            for port in instance.proxy_ports:
                pk, sk = proxy_port_key(port)
                item = {"pk": pk, "sk": sk, "v": VERSION, "contract_id": contract.id, "instance_id": instance.id}
                yield _next(item, 0)
    elif before is not None and contract.is_released and not before.is_released:
        yield from (Guarded(proxy_port_key(port), None) for port in contract.proxy_ports)


def raised(before: Book, after: Book) -> Book:
    """The book as it stands in the table after the commit: what was written has the next revision."""
    manifest = after.manifest
    if manifest != before.manifest or manifest.rev == 0:
        manifest = replace(manifest, rev=manifest.rev + 1)
    contracts = {
        each.id: each if each == before.contracts.get(each.id) else replace(each, rev=each.rev + 1)
        for each in after.contracts.values()
    }
    return replace(after, manifest=manifest, contracts=contracts)


def _extra_writes(extras: Extras) -> Iterator[Guarded]:
    if extras.memo is not None:
        memo = extras.memo
        item = _item(memo_key(memo.account, memo.key), memo) | {"ttl": memo.expires_at}
        yield Guarded((item["pk"], item["sk"]), item, replace_expired_at=memo.made_at)
    for place in extras.new_offers:
        yield _next(_item(offer_key(place.offer_id), place), 0)
    for offer_id in extras.dropped_offers:
        yield Guarded(offer_key(offer_id), None)
    if extras.tunnel_key is not None:
        yield _next(_item(tunnel_key(extras.tunnel_key.fingerprint), extras.tunnel_key), 0)
    if extras.host is not None:
        yield _next(host_item(extras.host), extras.host.rev)


def _next(item: Item, rev: int) -> Guarded:
    return Guarded((item["pk"], item["sk"]), item | {"rev": rev + 1}, expected_rev=rev)


def _signed(write: Guarded, commit_id: str) -> Guarded:
    return write if write.item is None else replace(write, item=write.item | {"commit": commit_id})


def _item(key: Key, value: Any) -> Item:
    record: Item = to_record(value)
    return record | {"pk": key[0], "sk": key[1], "v": VERSION}


_TABLE_ATTRIBUTES = frozenset(
    {"pk", "sk", "v", "gsi1pk", "gsi1sk", "gsi2pk", "gsi2sk", "gsi3pk", "next_due", "ttl", "delete_after", "commit"}
)


def _without_keys(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in _TABLE_ATTRIBUTES}
