"""The table in memory: the twin that tests run on. It can be told to conflict, throttle and lose answers."""

import json
import threading
from collections.abc import Callable, Sequence

from rental.adapters.items import Guarded, Item, Key
from rental.adapters.store import ConditionFailedError, Query

INDEX_KEYS = {"GSI1": ("gsi1pk", "gsi1sk"), "GSI2": ("gsi2pk", "gsi2sk"), "GSI3": ("gsi3pk", "next_due")}


class MemoryTable:
    """Items as JSON text, so that nothing is shared with the caller. `fault` is asked before each transaction.

    A fault of "conflict" refuses it; "lost" performs it and repeats it, as a client does whose answer was lost.
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
        fault = self._fault()
        if fault == "conflict":
            raise ConditionFailedError([])
        with self._lock:
            self._transact(writes)
            if fault == "lost":
                self._transact(writes)

    def query(self, query: Query) -> tuple[list[Item], Item | None]:
        pk_name, sk_name = INDEX_KEYS[query.index] if query.index is not None else ("pk", "sk")
        found = [item for item in map(json.loads, self._items.values()) if item.get(pk_name) == query.pk]
        found = [item for item in found if str(item[sk_name]).startswith(query.sk_prefix)]
        if query.due_before is not None:
            found = [item for item in found if item["next_due"] <= query.due_before]
        found.sort(key=lambda item: (item[sk_name], item["pk"]))
        if query.after is not None:
            found = [item for item in found if str(item[sk_name]) > str(query.after[sk_name])]
        page = found[: query.limit]
        names = {"pk", "sk", pk_name, sk_name}
        more = len(found) > len(page)
        return page, {name: str(page[-1][name]) for name in names} if more else None

    def items(self) -> list[Item]:
        """Everything, for tests that walk the whole table."""
        return [json.loads(text) for text in self._items.values()]

    def _transact(self, writes: Sequence[Guarded]) -> None:
        failed = [(write, self.get(write.key)) for write in writes if not _holds(write, self.get(write.key))]
        if failed:
            raise ConditionFailedError(failed)
        for write in writes:
            if write.item is None:
                self._items.pop(write.key, None)
            else:
                self.put(write.item)


def _holds(write: Guarded, current: Item | None) -> bool:
    if write.replace_expired_at is not None:
        return current is None or current["ttl"] <= write.replace_expired_at
    if write.expected_rev is None:
        return True
    return (current["rev"] if current is not None else 0) == write.expected_rev
