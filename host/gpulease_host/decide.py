"""What to do about one instance: pure decisions, each with its reason in a sentence.

    wanted    container     then
    running   none, ended   start, while lease, time and the control plane's word hold; else say why not
              running       nothing; stop past the end, under an older lease, or fenced by a newer one;
                            set ssh keys that changed
    stopped   running       stop
    absent    any           remove (the only way anything is ever removed)

A container that ended by itself is not started again under the same lease, except after the machine or Docker was
restarted, and then only once the control plane was asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gpulease_host.engine import WAYS_IN, Container
from gpulease_host.records import Record

STRAY_LIFE_S = 600
"""A container that nobody claims is stopped after this long, and kept."""
TOMBSTONE_LIFE_S = 72 * 3600

PAST_END = "Its end has passed."
KILLED = "It was ended from outside: somebody had Docker signal its container on the host."
GONE = "Its container is gone from Docker; somebody removed it."
ASKING_FIRST = "Waits until the control plane has said that it may start again."


@dataclass(frozen=True)
class Facts:
    """What is known of the world when deciding about one instance."""

    container: Container | None
    now: float
    run_id: str
    confirmed: bool
    """Whether the control plane named this instance since this run of machine, Docker and daemon began."""
    fenced_by: int | None
    """A higher token than its own on one of its GPUs."""
    is_time_known: bool = True
    """Whether `now` was compared with the service's clock since the machine was started."""
    not_reached: str | None = None
    """Why nobody can get into the running container yet, where its mode promises that."""


@dataclass(frozen=True)
class Start:
    reason: str


@dataclass(frozen=True)
class Stop:
    reason: str


@dataclass(frozen=True)
class Remove:
    reason: str


@dataclass(frozen=True)
class SetKeys:
    """It runs on: other ssh keys hold from now on."""

    reason: str


@dataclass(frozen=True)
class Settle:
    """Nothing to do to the container; only the record becomes `after`."""

    after: Record
    reason: str


@dataclass(frozen=True)
class Nothing:
    reason: str


Action = Start | Stop | Remove | SetKeys | Settle | Nothing


def decide(record: Record, facts: Facts) -> Action:
    """The next step towards what is wanted; asked again after each step until it is Nothing."""
    match record.order.desired:
        case "absent":
            return _decide_absent(record, facts)
        case "stopped":
            return _decide_stopped(record, facts)
        case "running":
            return _decide_running(record, facts)


def decide_stray(container: Container, first_seen: float, now: float) -> Stop | Nothing:
    """A container with our labels that no order and no manifest has named: never removed."""
    if container.status == "running" and now - first_seen >= STRAY_LIFE_S:
        return Stop("Nobody has claimed it for ten minutes. It is stopped and kept.")
    return Nothing("Nobody claims it. It is kept.")


def must_end(record: Record, now: float, fenced_by: int | None) -> bool:
    """Whether no container of it may run, whatever Docker says."""
    order = record.order
    return order.desired != "running" or now >= order.end_at or fenced_by is not None or record.fault is not None


def bury(record: Record, now: float) -> Settle | Nothing:
    """Nothing is left of it on this machine; a tombstone says so."""
    buried_at = int(now) if record.tombstone_at is None else record.tombstone_at
    return _settle(record.ended(), record, "It is gone.", status="absent", reason=None, tombstone_at=buried_at)


def is_being_tried(record: Record) -> bool:
    """Whether it runs, and nobody could get in yet: nothing but time will change that."""
    return record.status == "loading" and record.begun and record.order.desired == "running"


def tombstone_is_over(record: Record, now: float) -> bool:
    return record.tombstone_at is not None and now - record.tombstone_at >= TOMBSTONE_LIFE_S


def _decide_absent(record: Record, facts: Facts) -> Action:
    """Removing is more than its container: it is done until the record says that nothing is left."""
    if facts.container is not None or record.status != "absent":
        return Remove("The control plane says that its contract is gone.")
    return bury(record, facts.now)


def _decide_stopped(record: Record, facts: Facts) -> Action:
    if _is_running(facts):
        return Stop("It is wanted stopped.")
    if record.status in ("exited", "stopped"):
        return _settle(record.ended(), record, "It is stopped as wanted.")
    return _settle(record.ended(), record, "It is stopped as wanted.", status="stopped", reason=None)


def _decide_running(record: Record, facts: Facts) -> Action:
    refusal = _why_it_may_not_run(record, facts)
    if refusal is not None:
        return _halt(record, facts, refusal)
    if record.fault is not None:
        return _end_by_fault(record, facts, record.fault)
    if record.is_failed:
        return Stop("Its start failed.") if _is_running(facts) else Nothing("Its start failed.")
    if _is_running(facts):
        return _keep_running(record, facts)
    if _has_run_under_its_lease(record, facts):
        return _exit(record, facts)
    return _start(record, facts)


def _why_it_may_not_run(record: Record, facts: Facts) -> str | None:
    if facts.now >= record.order.end_at and (facts.is_time_known or _is_running(facts)):
        return PAST_END
    if facts.fenced_by is not None:
        return f"Its GPU was given to a newer lease (token {facts.fenced_by})."
    return None


def _halt(record: Record, facts: Facts, refusal: str) -> Action:
    """Not running is what must be, whatever is wanted: the generation counts as not applied."""
    if _is_running(facts):
        return Stop(refusal)
    if record.status in ("exited", "failed"):
        return Nothing(refusal)
    return _settle(record.ended(), record, refusal, status="stopped", reason=refusal, applied=record.applied)


def _end_by_fault(record: Record, facts: Facts, fault: str) -> Action:
    if _is_running(facts):
        return Stop(fault)
    return _settle(record, record, fault, status="exited", reason=fault)


def _keep_running(record: Record, facts: Facts) -> Action:
    if record.token != record.order.token:
        return Stop("It runs under another lease than the one it has now.")
    if record.status == "exited":
        return Stop("It ended before, and it was not this host that started it again.")
    assert facts.container is not None
    if record.order.mode in WAYS_IN and record.keys_revision != record.order.keys_revision:
        return SetKeys("Its ssh keys were changed.")
    if facts.container.hangs is not None:
        applied = record.order.generation if record.status == "running" else record.applied
        return _settle(record, record, facts.container.hangs, reason=facts.container.hangs, applied=applied)
    if facts.not_reached is not None and record.status != "running":
        began = {"begun": True, "run_id": facts.run_id, "started_at": facts.container.started_at}
        waits = {"status": "loading", "reason": facts.not_reached, "applied": record.applied}
        return _settle(record, record, facts.not_reached, **waits, **began)
    changes = {"status": "running", "reason": None, "exit_code": None, "begun": True, "run_id": facts.run_id}
    return _settle(record, record, "It runs.", **changes, **_told_by(facts.container, record))


def _told_by(container: Container, record: Record) -> dict[str, Any]:
    """What is known of a container that runs; what cannot be read now was known before."""
    code = record.onstart_exit_code  # the first of a run: root in there may write others, each of which is a report
    return {
        "started_at": container.started_at,
        "image_digest": container.image_digest or record.image_digest,
        "onstart_exit_code": container.onstart_exit_code if code is None else code,
    }


def _has_run_under_its_lease(record: Record, facts: Facts) -> bool:
    """Whether this lease was used up: begun, and ended without our doing. A restart of the machine does not count."""
    if record.token is None or record.token != record.order.token:
        return False
    if record.status == "exited":
        return True
    if record.begun and facts.container is None:
        return True
    if record.begun and record.run_id != facts.run_id:
        return False
    return facts.container is not None and facts.container.status == "exited" and _began(record, facts.container)


def _began(record: Record, container: Container) -> bool:
    """Also true of a start whose success we did not live to note."""
    return record.begun or (container.run is not None and container.run != record.begun_over)


def _exit(record: Record, facts: Facts) -> Action:
    if record.status == "exited":
        return _settle(record, record, "It ended by itself.")
    if facts.container is None:
        return _settle(record, record, GONE, status="exited", reason=GONE, exit_code=None)
    reason = _exit_reason(record, facts.container)
    code = facts.container.exit_code
    return _settle(record, record, f"It ended by itself: {reason}.", status="exited", reason=reason, exit_code=code)


def _exit_reason(record: Record, container: Container) -> str:
    if container.hangs is not None:
        return f"It ended, and nobody knows how. {container.hangs}"
    if container.oom_killed:
        return "oom"
    if container.error is not None:
        return container.error
    if is_being_tried(record) and record.order.mode in WAYS_IN:
        return f"It ended with exit code {container.exit_code} before anyone could get in. {record.reason}"
    if container.is_killed:
        return KILLED
    return "done" if container.exit_code == 0 else "error"


def _start(record: Record, facts: Facts) -> Action:
    if record.held is not None:
        return _settle(record, record, record.held, status="stopped", reason=record.held, applied=record.applied)
    if not facts.confirmed or facts.now >= record.order.end_at:
        waits = {"status": "loading", "reason": ASKING_FIRST, "applied": record.applied}
        return _settle(record, record, ASKING_FIRST, **waits)
    if record.not_after is not None and facts.now > record.not_after:
        late = "It could not be started in time, so nothing starts until it is ordered again."
        late = f"{late} ({record.reason})" if record.reason else late
        return _settle(record, record, late, held=late, status="stopped", reason=late, applied=record.applied)
    return Start("It is wanted running, and its lease and time hold.")


def _is_running(facts: Facts) -> bool:
    return facts.container is not None and facts.container.status == "running"


def _settle(base: Record, before: Record, sentence: str, **changes: Any) -> Settle | Nothing:
    """Where `changes` do not say otherwise, the generation is reached."""
    after = replace(base, **{"applied": before.order.generation, **changes})
    return Nothing(sentence) if after == before else Settle(after, sentence)
