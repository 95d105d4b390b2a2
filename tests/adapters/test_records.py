"""Records: every dataclass comes back as it went, and what a host sends is checked for its type."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rental.adapters.records import from_record, to_record
from rental.domain.allocation import Manifest
from rental.domain.contract import Contract
from rental.domain.host import Host
from rental.domain.observation import ReportedGpu, ReportedInstance
from rental.ports import Memo

KINDS: tuple[type[Any], ...] = (Contract, Manifest, Host)
TEXT_ONLY = st.dictionaries(st.sampled_from(["future", "unknown"]), st.text(max_size=3))
REPORTED = {
    "contract_id": 1,
    "instance_id": 1,
    "generation": 1,
    "token": None,
    "status": "running",
    "reason": None,
    "exit_code": None,
    "started_at": None,
}


@settings(max_examples=40, deadline=None)
@given(st.one_of([st.builds(kind, extra=TEXT_ONLY) for kind in KINDS]))
def test_every_value_comes_back_through_json_as_it_was(value: Any) -> None:
    record = json.loads(json.dumps(to_record(value)))
    loaded = from_record(type(value), record)
    assert loaded == value
    assert loaded.extra == value.extra


def test_a_missing_field_takes_its_default_and_a_required_one_is_missed() -> None:
    memo = {"account": "a", "key": "k", "request_digest": "h", "contract_id": 1, "made_at": 1}
    with pytest.raises(TypeError):
        from_record(Memo, memo)
    record = to_record(from_record(ReportedInstance, REPORTED))
    assert record == REPORTED | {
        "progress": None,
        "ssh_host_key": None,
        "onstart_exit_code": None,
        "image_digest": None,
    }


@pytest.mark.parametrize(
    "lie",
    [
        {"status": "dancing"},
        {"status": None},
        {"status": ["running"]},
        {"generation": "1"},
        {"generation": True},
        {"generation": 1.5},
        {"generation": None},
        {"generation": float("inf")},
        {"instance_id": []},
        {"reason": {"a": 1}},
        {"reason": 7},
        {"token": "x"},
    ],
)
def test_a_field_of_the_wrong_type_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_record(ReportedInstance, {**REPORTED, **lie})


@pytest.mark.parametrize("nonsense", [None, 7, "text", ["list"], True])
def test_what_is_not_a_record_is_refused(nonsense: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        from_record(ReportedGpu, nonsense)
