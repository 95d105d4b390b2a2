"""The table in memory: the twin that tests run on. It can be told to conflict and to lose answers."""

import json
import threading
from collections.abc import Callable, Sequence

from rental.adapters.items import Guarded, Item, Key
from rental.adapters.store import INDEX_KEYS, ConditionFailedError, Query

MAX_WRITES = 100
MAX_ITEM_BYTES = 400 * 1024
MAX_TRANSACTION_BYTES = 4 << 20


class MemoryTable:
    """Items as JSON text, so that nothing is shared with the caller. `fault` is asked before each transaction.

    A fault of "conflict" refuses it, as throttling does; "lost" performs it and repeats it, as a client does whose
    answer was lost.
    """

    def __init__(self, fault: Callable[[], str] = lambda: "") -> None:
        self._items: dict[Key, str] = {}
        self._lock = threading.Lock()
        self._fault = fault

    def get(self, key: Key) -> Item | None:
        text = self._items.get(key)
        return json.loads(text) if text is not None else None

    def get_many(self, keys: Sequence[Key]) -> list[Item]:
        return [item for item in map(self.get, keys) if item is not None]

    def put(self, item: Item) -> None:
        self._items[(item["pk"], item["sk"])] = json.dumps(item)

    def transact(self, writes: Sequence[Guarded]) -> None:
        if len(writes) > MAX_WRITES:
            raise ValueError(f"{len(writes)} writes are more than DynamoDB takes in one transaction")
        if len({write.key for write in writes}) < len(writes):
            raise ValueError("DynamoDB takes no two writes to one item in one transaction")
        sizes = [len(json.dumps(write.item)) for write in writes]
        if max(sizes, default=0) > MAX_ITEM_BYTES or sum(sizes) > MAX_TRANSACTION_BYTES:
            raise ValueError(f"items of {sizes} bytes are more than DynamoDB takes in one transaction")
        fault = self._fault()
        if fault == "conflict":
            raise ConditionFailedError([])
        with self._lock:
            self._transact(writes)
            if fault == "lost":
                self._transact(writes)

    def query(self, query: Query) -> tuple[list[Item], Item | None]:
        pk_name, sk_name = INDEX_KEYS[query.index]
        found = [item for item in self.items() if item.get(pk_name) == query.pk]
        found = [item for item in found if str(item[sk_name]).startswith(query.sk_prefix)]
        if query.due_before is not None:
            found = [item for item in found if item["next_due"] <= query.due_before]
        found.sort(key=lambda item: _place(item, sk_name))
        if query.after is not None:
            start = _place(query.after, sk_name)
            found = [item for item in found if _place(item, sk_name) > start]
        page = found[: query.limit]
        names = {"pk", "sk", pk_name, sk_name}
        more = len(found) > len(page)
        return page, {name: str(page[-1][name]) for name in names} if more else None

    def items(self) -> list[Item]:
        """Everything, for tests that walk the whole table."""
        with self._lock:
            texts = list(self._items.values())
        return [json.loads(text) for text in texts]

    def _transact(self, writes: Sequence[Guarded]) -> None:
        failed = [(write, self.get(write.key)) for write in writes if not _holds(write, self.get(write.key))]
        if failed:
            raise ConditionFailedError(failed)
        for write in writes:
            if write.item is None:
                self._items.pop(write.key, None)
            else:
                self.put(write.item)


def _place(item: Item, sk_name: str) -> tuple[int | str, str]:
    return int(item[sk_name]) if sk_name == "next_due" else item[sk_name], item["pk"]


def _holds(write: Guarded, current: Item | None) -> bool:
    if write.replace_expired_at is not None:
        return current is None or current["ttl"] <= write.replace_expired_at
    if write.expected_rev is None:
        return True
    return (current["rev"] if current is not None else 0) == write.expected_rev
