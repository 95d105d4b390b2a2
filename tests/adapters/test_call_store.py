"""Calls in the table: the largest question and the largest reply, each in an item."""

import itertools

from rental.adapters.call_store import ItemCallStore
from rental.adapters.items import call_item
from rental.adapters.memory.table import MemoryTable
from rental.api.limits import MAX_REPLY
from rental.domain.calls import Call, CallId, CallKind
from rental.domain.contract import Sealed
from rental.domain.ids import ContractId, InstanceId
from tests.adapters.test_item_size import ITEM_BYTES, item_bytes
from tests.fakes.builders import HOST
from tests.fakes.ports import NOW


def test_the_largest_reply_fits_an_item_whatever_was_asked() -> None:
    asked = Sealed("0" * 16, "x" * 300_000)
    call = Call(CallId("c" * 43), HOST, ContractId(1), InstanceId(1), CallKind.EXEC, asked, "k" * 43, NOW + 60)
    commits = itertools.count()
    store = ItemCallStore(MemoryTable(), lambda: f"commit-{next(commits)}")
    store.create_call(call, None)
    waiting = store.read_call(call.id)
    assert waiting is not None
    store.put_reply(waiting, "y" * MAX_REPLY)
    read = store.read_call(call.id)
    assert read is not None
    assert read.reply == "y" * MAX_REPLY
    assert item_bytes(call_item(read)) < 0.95 * ITEM_BYTES
