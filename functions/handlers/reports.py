"""Reports of hosts, from the wire to the service: verify, read, observe."""

import json
import re
from collections.abc import Mapping
from dataclasses import astuple, replace
from functools import cache
from typing import Any

from handlers.logs import logger
from handlers.refusals import log_refusal, log_repeat
from rental.adapters import wiring
from rental.adapters.machine_tokens import verify_report
from rental.adapters.records import from_record
from rental.adapters.system import SystemClock
from rental.api.readiness import read_readiness
from rental.domain.errors import InvalidRequestError, RentalError
from rental.domain.ids import HostId, InstanceId
from rental.domain.liveness import Sighting
from rental.domain.observation import Report, ReportedGpu, ReportedInstance
from rental.domain.refusal import Why
from rental.domain.sentences import one_line
from rental.domain.ways_in import HostPort
from rental.service.observing import Observing

MAX_REPORT_BYTES = 256 * 1024
MAX_REASON_LENGTH = 500
MAX_GPU_FAULT_LENGTH = 300
MAX_PORTS_IN_USE = 64
MAX_INTEGER = (1 << 53) - 1
MAX_HOST_KEY_LENGTH = 1000
HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}")
IMAGE_DIGEST = re.compile(r"[a-z0-9+._-]{1,20}:[a-f0-9]{32,128}")
BOOT_ID = re.compile(r"[!-~]{1,100}")
UNREADABLE = (RentalError, KeyError, TypeError, ValueError, OverflowError, RecursionError)
"""What reading raises for whatever a host may send, since each field is held to its type before it is used."""


@cache
def observing() -> Observing:
    return Observing(wiring.ledger(), wiring.liveness(), wiring.tasks())


def take_body(body: str) -> None:
    """Observe one report out of a queue, as `take_report` does."""
    try:
        detail = json.loads(body)["detail"]
    except UNREADABLE as error:
        log_refusal(error)
        return
    take_report(detail)


def take_report(detail: Any) -> None:
    """Observe one report. What is refused is logged and counted, and changes nothing."""
    now = SystemClock().now()
    try:
        report, sighting = _read(detail, now)
    except UNREADABLE as error:
        log_refusal(error, host_id=_claimed_host_id(detail))
        return
    if observing().observe(report, sighting):
        logger.info("report", extra={"host_id": report.host_id, "seq": sighting.seq})
    else:
        log_repeat(host_id=report.host_id, seq=sighting.seq)


def _read(detail: Mapping[str, Any], now: int) -> tuple[Report, Sighting]:
    jws = detail["jws"]
    if len(json.dumps(detail)) > MAX_REPORT_BYTES:
        raise InvalidRequestError("The report is too large.", why=Why.OVERSIZED)
    host_id = HostId(int(detail["host_id"]))
    _check_bounds(host_id)
    claims = verify_report(jws, wiring.store().read_host(host_id), now)
    if claims["v"] != 1:
        raise ValueError("the report's version is not known")
    return _read_state(host_id, claims["state"]), _read_sighting(claims, now)


def _read_state(host_id: HostId, state: Any) -> Report:
    _check_kind(dict, state)
    _check_kind(list, state["instances"], state["gpus"])
    instances = [_read_instance(each) for each in state["instances"]]
    gpus = tuple(_read_gpu(each) for each in state["gpus"])
    readiness = read_readiness(state.get("inventory", {}))
    by_id = {InstanceId(each.instance_id): each for each in instances}
    return Report(host_id, by_id, gpus, readiness, _read_ports(state.get("ports_in_use", [])))


def _read_ports(listed: Any) -> tuple[HostPort, ...]:
    _check_kind(list, listed)
    ports = tuple(from_record(HostPort, each) for each in listed[:MAX_PORTS_IN_USE])
    if not all(0 < each.port < 1 << 16 for each in ports):
        raise ValueError("a port is out of range")
    return ports


def _read_sighting(claims: Mapping[str, Any], now: int) -> Sighting:
    sighting = from_record(Sighting, {**claims, "seen_at": now})
    _check_bounds(sighting.seq, sighting.sent_at)
    if not BOOT_ID.fullmatch(sighting.boot_id):
        raise ValueError("the boot_id is no name")
    return sighting


def _read_instance(record: Mapping[str, Any]) -> ReportedInstance:
    """Raises TypeError or ValueError. What a host says must not fill the table."""
    instance = from_record(ReportedInstance, record)
    _check_bounds(instance.generation, instance.token, instance.exit_code, instance.started_at)
    _check_bounds(instance.onstart_exit_code)
    if instance.started_at is not None and instance.started_at < 0:
        raise ValueError("it started before there was time")
    if instance.progress is not None:
        _check_bounds(*astuple(instance.progress))
        if min(astuple(instance.progress)) < 0:
            raise ValueError("a pull is less than nowhere")
    if instance.ssh_host_key is not None:
        _check_host_key(instance.ssh_host_key)
    if instance.image_digest is not None and not IMAGE_DIGEST.fullmatch(instance.image_digest):
        raise ValueError("the image's digest is none")
    if instance.reason is None:
        return instance
    return replace(instance, reason=one_line(instance.reason, MAX_REASON_LENGTH))


def _read_gpu(record: Mapping[str, Any]) -> ReportedGpu:
    gpu = from_record(ReportedGpu, record)
    return replace(gpu, reason=None if gpu.reason is None else one_line(gpu.reason, MAX_GPU_FAULT_LENGTH))


def _claimed_host_id(detail: Any) -> str | None:
    """For the log, before anything is known of it."""
    host_id = detail.get("host_id") if isinstance(detail, dict) else None
    return str(host_id)[:20] if isinstance(host_id, int | str) else None


def _check_kind(kind: type, *values: object) -> None:
    if not all(isinstance(each, kind) for each in values):
        raise TypeError(f"a part of the report is no {kind.__name__}")


def _check_bounds(*numbers: int | None) -> None:
    if any(number is not None and abs(number) > MAX_INTEGER for number in numbers):
        raise ValueError("a number is out of range")


def _check_host_key(line: str) -> None:
    """It is shown to clients, who write it into a file."""
    if len(line) > MAX_HOST_KEY_LENGTH or not HOST_KEY.fullmatch(line):
        raise ValueError("the host key is no line of OpenSSH")
