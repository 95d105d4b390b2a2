"""The stand-in agent through crashes, outages and lost sessions: a command runs at most once."""

import configparser
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.agent.ledger import Ledger
from tests.ssm.endpoint import AgentProcess, Endpoint, Rig, wait_until
from tests.ssm.world import REGION

pytestmark = pytest.mark.skipif("os.environ.get('SSM_AGENT_DIR')", reason="of the stand-in only")


def runs(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_a_command_that_ran_when_the_agent_was_killed_is_not_run_again(rig: Rig, tmp_path: Path) -> None:
    rig.endpoint.put_script(f"echo run >> {tmp_path}/runs; sleep 30")
    command_id = rig.send()
    wait_until(lambda: runs(tmp_path / "runs") == 1)
    rig.agent.kill()
    rig.agent.start()
    assert rig.outcome(command_id)["Status"] == "Failed"
    assert "outcome is not known" in rig.result(command_id)["StandardErrorContent"]
    assert runs(tmp_path / "runs") == 1


@pytest.mark.slow
def test_an_agent_killed_again_and_again_runs_each_command_at_most_once(rig: Rig, tmp_path: Path) -> None:
    rig.endpoint.put_script(f"echo {{{{ Order }}}} >> {tmp_path}/runs")
    commands = []
    for number in range(6):
        commands.append(rig.send(f"order{number}"))
        time.sleep(0.004 * number)
        rig.agent.kill()
        rig.agent.start()
    outcomes = [rig.outcome(command_id, 30)["Status"] for command_id in commands]
    ran = (tmp_path / "runs").read_text().split()
    assert len(ran) == len(set(ran))
    assert set(outcomes) <= {"Success", "Failed"}
    assert {f"order{number}" for number, status in enumerate(outcomes) if status == "Success"} <= set(ran)


def test_the_agent_comes_back_by_itself_after_an_outage(rig: Rig) -> None:
    rig.endpoint.stop()
    time.sleep(0.5)
    rig.endpoint.start()
    assert rig.run("echo back")["StandardOutputContent"] == "back\n"


def test_a_result_is_reported_after_an_outage(rig: Rig, tmp_path: Path) -> None:
    rig.endpoint.put_script(f"touch {tmp_path}/started; sleep 1; echo done")
    command_id = rig.send()
    wait_until((tmp_path / "started").exists)
    rig.endpoint.stop()
    time.sleep(1.5)
    rig.endpoint.start()
    assert rig.outcome(command_id)["StandardOutputContent"] == "done\n"


def test_a_service_that_forgot_all_sessions_gets_a_new_one_at_once(rig: Rig) -> None:
    rig.endpoint.sessions.forget()
    assert rig.run("echo on")["StandardOutputContent"] == "on\n"
    shared = configparser.ConfigParser()
    shared.read(rig.agent.folder / "credentials")
    assert shared["default"]["aws_access_key_id"] in rig.endpoint.sessions.keys


def test_credentials_are_renewed_before_they_expire(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.sessions.lifetime_s = 2
    endpoint.poll_s = 0.5
    agent = AgentProcess(endpoint, tmp_path / "agent")
    agent.start()
    rig = Rig(endpoint, agent)
    for _ in range(3):
        assert rig.run("echo on")["Status"] == "Success"
        time.sleep(1.1)
    agent.kill()
    assert endpoint.sessions.issued >= 3


def test_the_credentials_file_is_private_and_keeps_other_profiles(rig: Rig) -> None:
    path = rig.agent.folder / "credentials"
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(path.read_text() + "\n[mine]\naws_access_key_id = x\n")
    rig.endpoint.sessions.forget()
    rig.run("true")
    assert "[mine]" in path.read_text()


def test_a_command_sent_while_no_agent_lives_runs_as_soon_as_one_does(rig: Rig) -> None:
    rig.endpoint.put_script("echo on")
    rig.agent.kill()
    command_id = rig.send()
    rig.agent.start()
    assert rig.outcome(command_id, 3)["Status"] == "Success"


def test_a_second_agent_on_the_same_state_is_refused(rig: Rig) -> None:
    command = [sys.executable, "-m", "local.agent", "--endpoint", rig.endpoint.url, "--region", REGION]
    second = subprocess.run(
        [*command, "--state-dir", str(rig.agent.folder)], capture_output=True, text=True, timeout=20
    )
    assert (second.returncode, "Another agent" in second.stderr) == (2, True)


def test_it_stops_when_asked(rig: Rig) -> None:
    started = time.monotonic()
    assert rig.agent.stop() == 0
    assert time.monotonic() - started < 3


def test_an_unregistered_machine_and_a_wrong_code_say_so(endpoint: Endpoint, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local.agent", "--endpoint", endpoint.url, "--region", REGION]
    command += ["--state-dir", str(tmp_path / "nobody")]
    bare = subprocess.run(command, capture_output=True, text=True, timeout=20)
    wrong = subprocess.run([*command, "--register", "x" * 20, "y"], capture_output=True, text=True, timeout=20)
    assert (bare.returncode, wrong.returncode) == (2, 2)
    assert "not registered" in bare.stderr
    assert "InvalidActivation" in wrong.stderr


def test_the_ledger_forgets_nothing_that_is_not_reported(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.accept("a", "{}")
    ledger.accept("b", "{}")
    ledger.start("b")
    ledger.accept("c", "{}")
    ledger.start("c")
    ledger.finish("c", ["reply"])
    ledger.accept("d", "{}")
    ledger.report("d")
    again = Ledger(tmp_path / "ledger")
    assert [(entry.message_id, entry.phase) for entry in again.unreported()] == [
        ("a", "accepted"),
        ("b", "started"),
        ("c", "finished"),
    ]
    known = again.find("d")
    assert known is not None and known.phase == "reported"


def test_a_bad_signature_is_refused_over_http(endpoint: Endpoint) -> None:
    for key_id, secret in (("AKIAADMIN", "wrong"), ("AKIANOBODY", "wrong")):
        with pytest.raises(ClientError) as refused:
            endpoint.client(key_id, secret).list_commands()
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
