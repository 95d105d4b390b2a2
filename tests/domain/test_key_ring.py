"""An account's SSH keys: each once, at most sixteen."""

import pytest

from rental.domain.errors import ConflictError, NotFoundError
from rental.domain.key_ring import MAX_KEYS, KeyRing, NamedKey
from rental.domain.ssh_key import parse_ssh_key
from tests.fakes.builders import CLIENT
from tests.fakes.ports import NOW
from tests.fakes.ssh import make_line


def named(number: int, name: str = "laptop", comment: str = "") -> NamedKey:
    return NamedKey(name, make_line(number, comment), NOW)


def full() -> KeyRing:
    return KeyRing(CLIENT, tuple(map(named, range(MAX_KEYS))))


def test_a_key_is_added_found_and_removed() -> None:
    ring = KeyRing(CLIENT).with_key(named(1)).with_key(named(2))
    assert ring.lines == (make_line(1), make_line(2))
    assert ring.key(named(1).id) == named(1)
    assert ring.without_key(named(1).id).keys == (named(2),)


def test_the_same_key_is_refused_under_another_name_and_with_another_comment() -> None:
    ring = KeyRing(CLIENT).with_key(named(1))
    with pytest.raises(ConflictError, match="'laptop'"):
        ring.with_key(named(1, "desk", "me@desk"))


def test_a_seventeenth_key_is_refused_until_one_is_removed() -> None:
    with pytest.raises(ConflictError, match="at most 16"):
        full().with_key(named(99))
    assert len(full().without_key(named(0).id).with_key(named(99)).keys) == MAX_KEYS


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        full().without_key(named(99).id)


def test_the_id_of_a_key_is_its_fingerprint_in_another_form() -> None:
    key = parse_ssh_key(make_line(1, "me@laptop"))
    assert named(1).id == key.id
    assert len(bytes.fromhex(key.id)) == 32
    assert named(1).ssh_key.fingerprint == key.fingerprint
