"""What a client waits for: fetched by name, done, sealed to whoever waits; a host that is asked too much says so."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from gpulease_host.calls import BUSY_WITH_YOURS, LATE_S, MOST_OF_A_CONTRACT, MOST_WAITING, WORKERS
from gpulease_host.machine_key import REPLY_INFO, MachineKey, from_b64, to_b64
from tests.host.fakes import seal
from tests.host.orders import order
from tests.host.rig import KEY, Rig
from tests.host.test_wire import check

CALL = "c" * 43
COMMAND = {"command": ["true"], "timeout_s": 5}


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path).boot()
    made.give(order())
    return made


class Waiting:
    """A client's request, as the API keeps it; it alone can open the reply."""

    def __init__(
        self, rig: Rig, kind: str, asked: Any, call_id: str = CALL, key: MachineKey = KEY, contract_id: int = 10
    ) -> None:
        self._rig, self._call_id, self._private = rig, call_id, X25519PrivateKey.generate()
        check("call", {"asked": asked})
        rig.api.calls[call_id] = {
            "kind": kind,
            "contract_id": contract_id,
            "key_id": key.key_id,
            "sealed": seal(key, contract_id, json.dumps(asked).encode()),
            "reply_key": to_b64(self._private.public_key().public_bytes_raw()),
        }

    @property
    def is_answered(self) -> bool:
        return self._call_id in dict(self._rig.api.replies)

    def answer(self) -> Any:
        calls = self._rig.daemon.calls
        calls.answer(self._call_id, calls.do)
        return self.opened()

    def opened(self) -> Any:
        sealed = dict(self._rig.api.replies)[self._call_id]
        check("call", {"reply_request": {"v": 1, "call_id": self._call_id, "sealed": sealed}})
        suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
        reply = json.loads(suite.decrypt(from_b64(sealed), self._private, info=REPLY_INFO + self._call_id.encode()))
        check("call", {"replied": reply})
        return reply


def test_a_command_runs_as_it_was_asked(rig: Rig) -> None:
    waiting = Waiting(rig, "exec", {"command": ["echo", "a b;c"], "timeout_s": 5})
    assert waiting.answer() == {"exit_code": 0, "stdout": "done", "stderr": "", "truncated": False}
    assert rig.engine.commands == [(11, ("echo", "a b;c"))]


def test_logs_are_read(rig: Rig) -> None:
    read = Waiting(rig, "logs", {"tail": 7, "since": 5, "cursor": None}).answer()
    assert read["items"][0]["text"] == "hello 7 5 None"


def test_what_the_engine_refuses_is_told_to_whoever_waits(rig: Rig) -> None:
    rig.engine.exit(11, 0)
    assert "does not run" in Waiting(rig, "exec", {"command": ["true"], "timeout_s": 5}).answer()["error"]


def test_nobody_waits_any_more(rig: Rig) -> None:
    rig.daemon.calls.answer("gone" * 10 + "abc", rig.daemon.calls.do)
    assert not rig.api.replies
    assert not rig.engine.commands


def test_what_is_sealed_to_another_machine_is_not_done(rig: Rig) -> None:
    Waiting(rig, "exec", {"command": ["true"], "timeout_s": 5}, key=MachineKey.generate())
    rig.daemon.calls.answer(CALL, rig.daemon.calls.do)
    assert not rig.engine.commands
    assert not rig.api.replies


def test_a_command_over_ssm_only_names_it(rig: Rig) -> None:
    done = threading.Event()
    waiting = Waiting(rig, "exec", {"command": ["true"], "timeout_s": 5})
    rig.api.after_reply = done.set
    assert "error" not in rig.command(order(), calls=[CALL])
    assert done.wait(5)
    assert waiting.opened()["exit_code"] == 0


def test_a_command_that_comes_twice_runs_once(rig: Rig) -> None:
    """SSM may deliver a command twice, also while the first is under way or its reply is on the way."""
    release, running = threading.Event(), threading.Event()

    def run() -> None:
        running.set()
        release.wait(10)

    rig.engine.while_running = run
    Waiting(rig, "exec", {"command": ["rm", "x"], "timeout_s": 5})
    rig.command(order(), calls=[CALL])
    assert running.wait(5)
    rig.command(order(), calls=[CALL])
    release.set()
    rig.daemon.calls.stop(wait=True)
    assert rig.engine.commands == [(11, ("rm", "x"))]


def test_a_host_that_is_asked_too_much_says_so_at_once(rig: Rig) -> None:
    release, answered = threading.Event(), threading.Event()
    rig.engine.while_running = lambda: release.wait(10)
    names = [f"{number:043d}" for number in range(MOST_WAITING + 1)]
    waits = [Waiting(rig, "exec", COMMAND, name, contract_id=1 + number) for number, name in enumerate(names)]
    rig.api.after_reply = answered.set
    rig.daemon.calls.take(names)
    assert answered.wait(5)
    assert "too many" in waits[-1].opened()["error"]
    assert len(rig.api.replies) == 1 < WORKERS
    release.set()


def test_nobody_takes_from_others_by_commands_that_last(rig: Rig) -> None:
    release, running, replied = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def run() -> None:
        running.release()
        release.wait(10)

    rig.engine.while_running, rig.api.after_reply = run, replied.release
    names = [f"{number:043d}" for number in range(MOST_OF_A_CONTRACT + 2)]
    waits = [Waiting(rig, "exec", COMMAND, name) for name in names[:-1]]
    rig.daemon.calls.take(names[:-1])
    assert all(running.acquire(timeout=5) for _ in range(MOST_OF_A_CONTRACT))
    assert replied.acquire(timeout=5)
    refused = [each for each in waits if each.is_answered]
    assert [each.opened()["error"] for each in refused] == [BUSY_WITH_YOURS]
    Waiting(rig, "logs", {"tail": 7, "since": None, "cursor": None}, names[-1], contract_id=12)
    rig.daemon.calls.take(names[-1:])
    assert replied.acquire(timeout=5), "another contract's is answered"
    release.set()
    rig.daemon.calls.stop(wait=True)
    assert "error" not in Waiting(rig, "exec", COMMAND, "d" * 43).answer(), "and so is the next of the first"


def test_what_has_waited_too_long_is_not_begun(rig: Rig) -> None:
    """Its client may have been told that there is no answer, and may have done it otherwise."""
    release, running = threading.Event(), threading.Semaphore(0)

    def run() -> None:
        running.release()
        release.wait(10)

    rig.engine.while_running = run
    names = [f"{number:043d}" for number in range(WORKERS + 1)]
    waits = [
        Waiting(rig, "exec", {"command": [name], "timeout_s": 5}, name, contract_id=1 + number)
        for number, name in enumerate(names)
    ]
    rig.daemon.calls.take(names)
    assert all(running.acquire(timeout=5) for _ in range(WORKERS))
    rig.clock.now += LATE_S + 1
    release.set()
    rig.daemon.calls.stop(wait=True)
    assert {command for _, command in rig.engine.commands} == {(name,) for name in names[:WORKERS]}
    assert "too many" in waits[-1].opened()["error"]


def test_a_fault_of_the_host_is_told_at_once_and_logged_without_what_it_says(rig: Rig) -> None:
    answered = threading.Event()

    def break_down() -> None:
        raise ValueError("my-secret")

    rig.engine.while_running = break_down
    rig.api.after_reply = answered.set
    waiting = Waiting(rig, "exec", {"command": ["true"], "timeout_s": 5})
    rig.daemon.calls.take([CALL])
    assert answered.wait(5)
    assert "failed at it" in waiting.opened()["error"]
    assert "fault in a call" in rig.log.getvalue()
    assert "my-secret" not in rig.log.getvalue()


def test_nothing_of_it_is_logged(rig: Rig) -> None:
    Waiting(rig, "exec", {"command": ["print-my-secret"], "timeout_s": 5}).answer()
    assert "print-my-secret" not in rig.log.getvalue()
