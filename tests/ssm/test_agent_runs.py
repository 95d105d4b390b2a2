"""Commands from an SDK's SendCommand to a script on the machine and back, over HTTP."""

import json
import time
from pathlib import Path

import pytest

from tests.ssm.endpoint import Rig, wait_until
from tests.ssm.world import DOCUMENT_NAME

ATTACKS = ["a;id", "a'; id; '", "$(id)", "`id`", "a\nid", "a\n", "{{ Order }}", "a\\", 'a"', "a&&id", "a|id", ""]


def test_a_command_runs_with_its_parameter_in_place(rig: Rig) -> None:
    seen = rig.run("printf %s '{{ Order }}'", order="eyJ2IjoxfQ")
    assert (seen["Status"], seen["ResponseCode"]) == ("Success", 0)
    assert seen["StandardOutputContent"] == "eyJ2IjoxfQ"


def test_an_exit_code_and_both_outputs_come_back(rig: Rig) -> None:
    seen = rig.run("echo out; echo err >&2; exit 3")
    assert (seen["Status"], seen["ResponseCode"]) == ("Failed", 3)
    assert seen["StandardOutputContent"] == "out\n"
    assert seen["StandardErrorContent"] == "err\nfailed to run commands: exit status 3"


def test_the_calls_are_those_of_the_recorded_agent_in_its_order(rig: Rig) -> None:
    del rig.endpoint.targets[:]
    rig.run("true")
    spoken = [target for target in rig.endpoint.targets if target in ("SendReply", "AcknowledgeMessage")]
    assert spoken == ["SendReply", "AcknowledgeMessage", "SendReply", "SendReply"]
    said = [json.loads(event["Detail"])["status"] for event in rig.endpoint.events]
    assert said == ["Pending", "InProgress", "Success"]


def test_a_script_over_its_time_is_killed(rig: Rig) -> None:
    seen = rig.run("echo before; sleep 60", timeout_s=5)
    assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == ("TimedOut", "ExecutionTimedOut", 137)
    assert seen["StandardOutputContent"] == "before\n"


def test_cancelling_kills_the_whole_group(rig: Rig, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    rig.endpoint.put_script(f"(sleep 2; touch {mark}) & touch {mark}.started; sleep 60")
    command_id = rig.send()
    wait_until(Path(f"{mark}.started").exists)
    rig.client.cancel_command(CommandId=command_id)
    seen = rig.outcome(command_id)
    assert (seen["Status"], seen["ResponseCode"]) == ("Cancelled", 137)
    time.sleep(2.2)
    assert not mark.exists()


def test_a_value_that_is_not_allowed_never_reaches_a_shell(rig: Rig, tmp_path: Path) -> None:
    for attack in ATTACKS:
        with pytest.raises(rig.client.exceptions.InvalidParameters):
            rig.run(f"touch {tmp_path}/ran; printf %s '{{{{ Order }}}}'", order=attack)
    assert not (tmp_path / "ran").exists()


def test_the_agent_refuses_by_itself_what_a_service_let_through(rig: Rig, tmp_path: Path) -> None:
    rig.endpoint.put_script(f"touch {tmp_path}/ran; echo '{{{{ Order }}}}'")
    service = rig.endpoint.service
    document = service.library.document(DOCUMENT_NAME)
    arguments = {"Order": ["a'; id; '"]}
    del rig.endpoint.targets[:]
    opened = rig.endpoint.on_loop(lambda: service.commands.open(document, arguments, [rig.agent.instance_id], 120, ""))
    seen = rig.outcome(opened.command_id)
    assert seen["Status"] == "Failed"
    assert "does not match the allowed pattern" in seen["StandardErrorContent"]
    assert not (tmp_path / "ran").exists()
    assert rig.endpoint.targets.count("SendReply") == 1
    assert "AcknowledgeMessage" not in rig.endpoint.targets


def test_five_commands_run_at_once_and_a_sixth_waits(rig: Rig, tmp_path: Path) -> None:
    rig.endpoint.put_script(f"touch {tmp_path}/started.{{{{ Order }}}}; sleep 1.5")
    commands = [rig.send(str(number)) for number in range(6)]
    wait_until(lambda: len(list(tmp_path.glob("started.*"))) == 5)
    time.sleep(0.5)
    assert len(list(tmp_path.glob("started.*"))) == 5
    assert {rig.outcome(command_id)["Status"] for command_id in commands} == {"Success"}


def test_a_background_child_does_not_hold_up_the_answer(rig: Rig) -> None:
    started = time.monotonic()
    assert rig.run("sleep 10 & echo on")["StandardOutputContent"] == "on\n"
    assert time.monotonic() - started < 5


def test_long_output_is_cut(rig: Rig) -> None:
    seen = rig.run("head -c 100000 /dev/zero | tr '\\0' x")
    assert 23_000 < len(seen["StandardOutputContent"]) <= 24_000
