"""What was acknowledged is there after kill -9, and a torn line is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from local.ssm.journal import Journal
from tests.ssm.world import DOCUMENT_NAME, World

WRITER = """
import sys
from pathlib import Path
from local.ssm.journal import Journal
journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    journal.append({"number": number, "filler": "x" * 2000})
    print(number, flush=True)
"""


def test_everything_is_there_after_a_restart(world: World) -> None:
    instance_id = world.register()
    waiting, running, done = (world.send(instance_id) for _ in range(3))
    for command_id in (running, done):
        world.acknowledge(f"aws.ssm.{command_id}.{instance_id}")
    world.reply(f"aws.ssm.{done}.{instance_id}", "Success")
    world.ok("CancelCommand", {"CommandId": running})
    before = [world.result(command_id, instance_id) for command_id in (waiting, running, done)]
    world.reopen()
    assert [world.result(command_id, instance_id) for command_id in (waiting, running, done)] == before
    topics = sorted(message["Topic"] for message in world.poll(instance_id))
    assert topics == ["aws.ssm.cancelCommand.us.east.1", "aws.ssm.sendCommand.us.east.1"]
    assert world.ok("GetDocument", {"Name": DOCUMENT_NAME})["DocumentVersion"] == "1"


def test_deadlines_hold_over_a_restart(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id, TimeoutSeconds=30)
    world.clock.now += 31
    world.reopen()
    assert world.poll(instance_id) == []
    assert world.result(command_id, instance_id)["StatusDetails"] == "DeliveryTimedOut"


def test_a_torn_last_line_is_dropped(world: World) -> None:
    instance_id = world.register()
    with world.journal_path.open("ab") as file:
        file.write(b'[["instance","mi-torn",{"instance_')
    world.reopen()
    listed = world.ok("DescribeInstanceInformation", {})["InstanceInformationList"]
    assert [instance["InstanceId"] for instance in listed] == [instance_id]
    world.send(instance_id)
    world.reopen()
    assert len(world.poll(instance_id)) == 1


def test_old_commands_are_forgotten_and_the_journal_shrinks(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id)
    for _ in range(50):
        world.reply(f"aws.ssm.{command_id}.{instance_id}", "InProgress", documentTraceOutput=str(_))
    size = world.journal_path.stat().st_size
    world.clock.now += 31 * 24 * 3600
    world.reopen()
    assert world.journal_path.stat().st_size < size / 5
    assert world.ok("ListCommands", {})["Commands"] == []


def test_kill_9_while_writing_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = 0
    while acknowledged < 200:
        acknowledged = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split()
    writer.wait()
    last = int(rest[-1]) if rest else acknowledged
    numbers = [line["number"] for line in Journal(path).read()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= last
