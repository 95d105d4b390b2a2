"""The machine key is replaced without a moment in which the host has none that is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpulease_host.api import ApiError, ApiRefusedError, ApiUnreachableError
from gpulease_host.engine import Order
from gpulease_host.key_ring import KeyRing
from gpulease_host.machine_key import MachineKeyError
from tests.host.fakes import seal
from tests.host.orders import order
from tests.host.rig import KEY, Rig
from tests.host.test_wire import check

SECRETS = json.dumps({"env": {"A": "b"}, "entrypoint": None, "args": None, "onstart": None, "login": None}).encode()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path).boot()


def keys(rig: Rig) -> KeyRing:
    return rig.daemon.parts.keys


def rotate(rig: Rig) -> str:
    """As `gpulease-host rotate-key` asks: the new key's id, or why not."""
    verdict, answer = rig.daemon.intake.answer("rotate-key")
    return str(json.loads(answer)["key_id"]) if verdict == "ok" else answer


def test_the_new_key_signs_from_then_on(rig: Rig) -> None:
    new_id = rotate(rig)
    assert new_id == rig.api.key.key_id != KEY.key_id
    assert KeyRing.open(rig.key_path).key_id == new_id
    assert keys(rig).key_id == new_id


def test_every_rotation_makes_another_key(rig: Rig) -> None:
    assert len({rotate(rig) for _ in range(3)} | {KEY.key_id}) == 4


def test_what_is_sealed_to_a_former_key_still_opens(rig: Rig) -> None:
    rotate(rig)
    sealed = seal(KEY, 10, SECRETS)
    assert keys(rig).unseal(KEY.key_id, sealed, 10) == SECRETS
    assert KeyRing.open(rig.key_path).unseal(KEY.key_id, sealed, 10) == SECRETS


def test_a_container_starts_with_secrets_of_either_key(rig: Rig) -> None:
    rig.api.secrets = SECRETS
    rig.give(order(instance_id=11, gpus=(0,), token=1))
    rotate(rig)
    rig.give(order(instance_id=12, gpus=(1,), token=2))
    assert rig.engine.is_running(11)
    assert rig.engine.is_running(12)


def test_a_former_key_goes_when_nothing_is_sealed_to_it(rig: Rig) -> None:
    new_id = rotate(rig)
    rig.api.sealed_key_ids = [KEY.key_id, new_id]
    rig.daemon.asker.ask()
    assert set(keys(rig).former) == {KEY.key_id}
    rig.api.sealed_key_ids = [new_id]
    rig.daemon.asker.ask()
    assert not keys(rig).former
    assert [each.name for each in rig.folder.glob("machine.key*")] == ["machine.key"]


def test_a_service_that_does_not_say_keeps_every_key(rig: Rig) -> None:
    rotate(rig)
    rig.api.sealed_key_ids = None
    rig.daemon.asker.ask()
    assert set(keys(rig).former) == {KEY.key_id}


def test_a_lost_answer_is_made_good_with_the_new_key(rig: Rig) -> None:
    rig.api.lost_answers = 1
    assert "not replaced yet" in rotate(rig)
    assert keys(rig).next is not None
    new_id = rotate(rig)
    assert new_id == rig.api.key.key_id == keys(rig).key_id
    assert keys(rig).next is None


def test_a_daemon_that_died_before_the_answer_goes_on_with_the_same_key(rig: Rig) -> None:
    rig.api.lost_answers = 1
    rotate(rig)
    rig.boot()
    rig.daemon.rotation.finish()
    assert keys(rig).key_id == rig.api.key.key_id
    assert KeyRing.open(rig.key_path).former.keys() == {KEY.key_id}


def test_while_nobody_knows_which_key_is_in_force_a_start_waits(rig: Rig) -> None:
    rig.api.lost_answers = 1
    rotate(rig)
    rig.api.fetch_error = ApiRefusedError(401, "unauthenticated", "Another key is in force.")
    rig.give(order())
    assert not rig.engine.is_running(11)
    rig.api.fetch_error = None
    rotate(rig)
    rig.pass_time(20)
    assert rig.engine.is_running(11)


@pytest.mark.parametrize("error", [ApiUnreachableError("no answer"), ApiRefusedError(409, "busy", "Again.")])
def test_a_rotation_that_does_not_come_about_changes_nothing(rig: Rig, error: ApiError) -> None:
    rig.api.manifest_error = error
    assert "not replaced yet" in rotate(rig)
    assert keys(rig).key_id == KEY.key_id == rig.api.key.key_id


def test_every_key_is_for_root_alone(rig: Rig) -> None:
    keys(rig).make_next()
    rotate(rig)
    keys(rig).make_next()
    assert {each.stat().st_mode & 0o777 for each in rig.folder.glob("machine.key*")} == {0o600}


def test_the_request_follows_its_schema(rig: Rig) -> None:
    sent: list[dict[str, object]] = []

    class Recorder:
        def replace_key(self, body: dict[str, object]) -> None:
            sent.append(body)

    rig.daemon.rotation.__class__(keys(rig), lambda _key: Recorder(), 7, rig.daemon.parts.log).rotate()
    check("key", {"request": {"v": 1, **sent[0]}})


def test_a_foreign_key_opens_nothing(rig: Rig) -> None:
    with pytest.raises(MachineKeyError, match="another machine key"):
        keys(rig).unseal("0" * 16, seal(KEY, 10, SECRETS), 10)


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refusal_never_destroys_a_key_that_may_be_in_force(rig: Rig, status: int) -> None:
    """Busy is what the second of two requests hears whose first is being taken in at that moment."""
    rig.api.lost_answers = 1
    rotate(rig)
    rig.api.manifest_error = ApiRefusedError(status, "busy", "Again.")
    rotate(rig)
    rig.api.manifest_error = None
    assert rotate(rig) == rig.api.key.key_id == keys(rig).key_id


def test_a_host_that_is_given_up_while_its_key_changes_learns_it(rig: Rig) -> None:
    """Only the key in force is told so: here that is the next one, though its answer was lost."""
    rig.api.lost_answers = 1
    rotate(rig)
    new = keys(rig).next
    assert new is not None
    rig.api.is_retired = True
    assert "not replaced yet" in rotate(rig)
    assert (keys(rig).key_id, keys(rig).next) == (new.key_id, None)


def test_a_host_that_was_given_up_makes_no_key(rig: Rig) -> None:
    rig.api.is_retired = True
    rotate(rig)
    assert (keys(rig).key_id, keys(rig).next) == (KEY.key_id, None)


def test_a_late_answer_brings_no_other_key_into_force(rig: Rig) -> None:
    """Two finish the same rotation; the second answer comes when the next rotation has begun."""
    ring = keys(rig)
    first = ring.make_next()
    ring.promote(first)
    second = ring.make_next()
    ring.promote(first)
    assert (ring.key_id, ring.next) == (first.key_id, second)


def test_finishing_begins_no_rotation(rig: Rig) -> None:
    rig.daemon.rotation.finish()
    assert (keys(rig).key_id, keys(rig).next) == (KEY.key_id, None)


def test_a_fetch_that_the_old_key_signed_is_asked_again_and_not_denied(rig: Rig) -> None:
    """The key is replaced while the request is on its way: it is refused, and by then nothing is changing."""
    fetch = rig.api.fetch

    def overtaken(order: Order) -> Any:
        rig.api.fetch = fetch  # type: ignore[method-assign]
        rotate(rig)
        raise ApiRefusedError(401, "unauthenticated", "Another key is in force.")

    rig.api.fetch = overtaken  # type: ignore[method-assign]
    rig.give(order())
    assert rig.record().held is None
    rig.pass_time(2)
    assert rig.engine.is_running(11)


def test_a_manifest_that_was_asked_for_under_the_old_key_destroys_none(rig: Rig) -> None:
    """Something may have been sealed to the old key after that answer was made, and before the new one came."""
    manifest = rig.api.manifest

    def overtaken() -> Any:
        rig.api.manifest = manifest  # type: ignore[method-assign]
        rig.api.sealed_key_ids = []
        answer = manifest()
        rotate(rig)
        return answer

    rig.api.manifest = overtaken  # type: ignore[method-assign]
    rig.daemon.asker.ask()
    assert set(keys(rig).former) == {KEY.key_id}
    rig.daemon.asker.ask()
    assert not keys(rig).former


def test_a_crash_between_the_files_of_a_replacement_goes_on(rig: Rig) -> None:
    """The former key is kept already, the next one is in force at the service, and its file has its old name still."""
    rig.api.lost_answers = 1
    rotate(rig)
    KEY.save(rig.key_path.with_name(f"machine.key.former-{KEY.key_id}"))
    rig.boot()
    assert rig.daemon.rotation.finish()
    assert KeyRing.open(rig.key_path).key_id == rig.api.key.key_id
    assert [each.name for each in sorted(rig.folder.glob("machine.key*"))] == [
        "machine.key",
        f"machine.key.former-{KEY.key_id}",
    ]
