"""A start that this host is at fault for takes it, or those GPUs, off the market, until one there succeeds."""

from __future__ import annotations

from dataclasses import replace

from gpulease_host.engine import (
    EngineError,
    EngineUnavailableError,
    HostFaultError,
    NotStartedError,
    Port,
    PortTakenError,
)
from gpulease_host.taken_ports import TakenPorts
from gpulease_host.trials import AGAIN_S, DAY_S, SOON_S, UNKNOWN
from tests.host.orders import order
from tests.host.rig import Rig

DRIVER = HostFaultError("Not yours.", "driver_mismatch", "Restart the machine.", details="raw words")
GPU = HostFaultError("Not yours.", "gpu_not_given", "Look at nvidia-smi.", of_gpus=True)


def statuses(rig: Rig) -> list[str]:
    return [gpu["status"] for gpu in rig.state()["gpus"]]


def trials(rig: Rig) -> list[str]:
    return [call for call in rig.engine.calls if call.startswith("trial")]


def fail_start(rig: Rig, error: NotStartedError) -> None:
    rig.engine.start_error = error
    rig.command(order())
    rig.drain()
    rig.engine.start_error = None


def test_a_trial_takes_every_free_gpu_at_the_start_and_each_day(rig: Rig) -> None:
    rig.command(order(gpus=(1,)))
    rig.drain()
    for _ in range(3):
        rig.daemon.trials.step()
    assert trials(rig) == ["trial 0 2 3"]
    rig.clock.now += DAY_S
    rig.daemon.trials.step()
    assert len(trials(rig)) == 2


def test_a_clients_failed_start_costs_the_host_only_the_gpus_it_had_until_a_trial(rig: Rig) -> None:
    """In the report that tells the failure; what was said may be of the image's making."""
    fail_start(rig, DRIVER)
    assert rig.instance()["status"] == "failed"
    assert rig.instance()["reason"] == "Not yours."
    assert (statuses(rig), rig.gpu(0)["reason"]) == (["quarantined", "free", "free", "free"], "Restart the machine.")
    assert rig.state()["inventory"]["not_ready"] == []
    assert "raw words" in rig.log.getvalue()
    rig.daemon.trials.step()
    assert statuses(rig) == ["free"] * 4, "a trial has succeeded"


def test_clients_who_fail_again_and_again_ask_for_no_trial_after_another(rig: Rig) -> None:
    rig.daemon.trials.step()
    for _ in range(3):
        rig.daemon.trials.soon()
        rig.daemon.trials.step()
    assert len(trials(rig)) == 1
    rig.clock.now += SOON_S
    rig.daemon.trials.step()
    assert len(trials(rig)) == 2


def test_a_fault_stays_until_a_trial_succeeds(rig: Rig) -> None:
    rig.engine.trial_errors = dict.fromkeys(range(4), DRIVER)
    fail_start(rig, DRIVER)
    for _ in range(3):
        rig.daemon.trials.step()
        assert rig.state()["inventory"]["not_ready"] == ["Restart the machine."]
        rig.clock.now += AGAIN_S
    rig.engine.trial_errors = {}
    rig.daemon.trials.step()
    assert rig.state()["inventory"]["not_ready"] == []


def test_a_start_of_a_client_that_succeeds_ends_it_too(rig: Rig) -> None:
    rig.daemon.start_faults.note(DRIVER, [])
    rig.command(order(instance_id=12, token=2, gpus=(1,)))
    rig.drain()
    assert rig.state()["inventory"]["not_ready"] == []


def test_a_fault_of_one_gpu_leaves_the_others_on_the_market(rig: Rig) -> None:
    rig.engine.trial_errors = {2: GPU}
    rig.daemon.trials.step()
    assert statuses(rig) == ["free", "free", "quarantined", "free"]
    assert rig.gpu(2)["reason"] == "Look at nvidia-smi."
    assert rig.state()["inventory"]["not_ready"] == []


def test_what_fails_for_the_hosts_own_container_is_its_fault_whatever_was_said(rig: Rig) -> None:
    rig.engine.trial_errors = dict.fromkeys(range(4), NotStartedError("?", details="never heard"))
    fail_start(rig, NotStartedError("It could not be started."))
    assert rig.state()["inventory"]["not_ready"] == []
    rig.daemon.trials.step()
    assert rig.state()["inventory"]["not_ready"] == [UNKNOWN]


def test_a_trial_that_fails_for_its_own_image_blames_nobody(rig: Rig) -> None:
    rig.engine.trial_errors = {0: NotStartedError("It could not be started.", "libraries_not_listed")}
    rig.daemon.trials.step()
    assert rig.state()["inventory"]["not_ready"] == []
    assert statuses(rig) == ["free"] * 4


def test_a_trial_tells_nothing_while_docker_is_away_or_all_is_in_use(rig: Rig) -> None:
    rig.daemon.start_faults.note(DRIVER, [])
    rig.engine.is_down = True
    rig.daemon.trials.step()
    assert rig.daemon.start_faults.of_host is not None
    rig.engine.is_down = False
    rig.clock.now += AGAIN_S
    rig.command(order(gpus=(0, 1, 2, 3)))
    rig.drain()
    rig.daemon.start_faults.note(DRIVER, [])
    rig.daemon.trials.step()
    assert rig.daemon.start_faults.of_host is not None


def test_a_start_that_waits_for_docker_says_so_and_passes_no_raw_words_on(rig: Rig) -> None:
    rig.engine.start_error = EngineUnavailableError("Docker does not answer.", "dial unix: refused")
    rig.give(order())
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("loading", "Docker does not answer.")
    assert "dial unix: refused" in rig.log.getvalue()
    rig.engine.start_error = None
    rig.pass_time(30)
    assert (rig.instance()["status"], rig.instance()["reason"]) == ("running", None)


def test_a_port_in_use_is_told_until_it_is_free(rig: Rig) -> None:
    taken = {("tcp", 40001)}
    rig.daemon.taken_ports._is_taken = lambda port: port in taken
    port = Port(8080, "tcp", 40001)
    fail_start(rig, PortTakenError("Port 40001/tcp is in use (port_taken).", (port,)))
    assert rig.state()["ports_in_use"] == [{"protocol": "tcp", "port": 40001}]
    taken.clear()
    assert rig.state()["ports_in_use"] == []


def test_a_port_in_use_starts_under_another_number_in_the_next_generation(rig: Rig) -> None:
    fail_start(rig, PortTakenError("Port 40001/tcp is in use (port_taken).", ()))
    rig.command(replace(order(generation=2), ports=(Port(8080, "tcp", 40002),)))
    rig.drain()
    assert rig.instance()["status"] == "running"


def test_no_more_ports_are_told_than_a_report_may_carry() -> None:
    ports = TakenPorts(lambda _port: True)
    ports.note(Port(1, "tcp", number) for number in range(2000, 2100))
    assert len(ports.look()) == 64
    assert ports.look()[-1] == ("tcp", 2099)


def logins(rig: Rig) -> int:
    return rig.engine.calls.count("log in")


def test_a_login_is_tried_at_the_start_and_each_day_also_while_every_gpu_is_in_use(rig: Rig) -> None:
    rig.command(order(gpus=(0, 1, 2, 3)))
    rig.drain()
    for _ in range(3):
        rig.daemon.trials.step()
        rig.clock.now += AGAIN_S
    assert logins(rig) == 1
    rig.clock.now += DAY_S
    rig.daemon.trials.step()
    assert logins(rig) == 2


def test_a_login_that_failed_is_tried_again_each_minute_and_costs_no_gpu(rig: Rig) -> None:
    rig.engine.login_error = EngineError("ssh does not answer yet.")
    for _ in range(3):
        rig.daemon.trials.step()
        rig.clock.now += AGAIN_S
    assert logins(rig) == 3
    assert statuses(rig) == ["free"] * 4
    assert "ssh does not answer yet." in rig.log.getvalue()
    rig.engine.login_error = None
    for _ in range(3):
        rig.daemon.trials.step()
        rig.clock.now += AGAIN_S
    assert logins(rig) == 4
