"""Records become DynamoDB's typed values and come back as they were, as the library itself would have it."""

from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from rental.adapters.dynamodb.values import dump_value, load_value

LEAVES = st.none() | st.booleans() | st.integers(-(1 << 62), 1 << 62) | st.text()
RECORDS = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner))


@given(RECORDS)
def test_a_record_comes_back_as_it_was(record: Any) -> None:
    assert load_value(dump_value(record)) == record


@given(RECORDS)
def test_it_is_typed_as_the_library_types_it(record: Any) -> None:
    assert dump_value(record) == TypeSerializer().serialize(record)


@pytest.mark.parametrize("value", [1.5, b"x", {1, 2}])
def test_what_no_record_holds_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        dump_value(value)


@pytest.mark.parametrize(("typed", "error"), [({"SS": ["a"]}, TypeError), ({"N": "1.5"}, ValueError)])
def test_what_no_record_held_is_not_guessed(typed: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        load_value(typed)
