"""Messages are delivered until taken, never after their time, and final is final."""

import asyncio
import time
from pathlib import Path

import pytest

from local.ssm.service import SsmService
from tests.ssm.world import ADMIN, DOCUMENT_NAME, World, command_document, node


def only_message(world: World, instance_id: str) -> str:
    (message,) = world.poll(instance_id)
    return str(message["MessageId"])


def statuses(world: World) -> list[str]:
    return [event["Detail"].rpartition('"status": ')[2].strip('"}') for event in world.events]


def test_a_message_is_delivered_again_until_it_is_acknowledged(world: World) -> None:
    instance_id = world.register()
    world.send(instance_id)
    first = only_message(world, instance_id)
    assert world.poll(instance_id) == []
    world.clock.now += 10
    assert only_message(world, instance_id) == first
    assert world.acknowledge(first).status == 200
    world.clock.now += 10
    assert world.poll(instance_id) == []


def test_an_acknowledgement_may_be_repeated(world: World) -> None:
    instance_id = world.register()
    world.send(instance_id)
    message_id = only_message(world, instance_id)
    assert [world.acknowledge(message_id).status for _ in range(3)] == [200, 200, 200]


def test_a_message_past_its_time_is_not_delivered_and_cannot_be_taken(world: World) -> None:
    instance_id = world.register()
    taken_late, command_id = world.send(instance_id, TimeoutSeconds=30), world.send(instance_id, TimeoutSeconds=30)
    message_ids = [message["MessageId"] for message in world.poll(instance_id)]
    world.clock.now += 30
    assert world.poll(instance_id) == []
    assert [world.acknowledge(message_id).status for message_id in message_ids] == [400, 400]
    for one in (taken_late, command_id):
        seen = world.result(one, instance_id)
        assert (seen["Status"], seen["StatusDetails"]) == ("TimedOut", "DeliveryTimedOut")


def test_a_machine_not_heard_of_is_undeliverable(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id, TimeoutSeconds=3600)
    world.clock.now += 3600
    assert world.result(command_id, instance_id)["StatusDetails"] == "Undeliverable"


def test_a_command_that_is_never_reported_on_times_out(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id, TimeoutSeconds=30)
    world.acknowledge(only_message(world, instance_id))
    world.clock.now += 89
    assert world.result(command_id, instance_id)["Status"] == "InProgress"
    world.clock.now += 1
    assert world.result(command_id, instance_id)["StatusDetails"] == "ExecutionTimedOut"


def test_a_final_status_stays_over_late_and_repeated_replies(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id)
    message_id = only_message(world, instance_id)
    world.acknowledge(message_id)
    world.reply(message_id, "Success")
    for late in ("Success", "InProgress", "Failed", "Cancelled"):
        world.reply(message_id, late)
    assert world.result(command_id, instance_id)["Status"] == "Success"
    assert statuses(world) == ["Pending", "InProgress", "Success"]


def test_a_refused_command_is_not_delivered_again_without_an_acknowledgement(world: World) -> None:
    instance_id = world.register()
    world.send(instance_id)
    world.reply(only_message(world, instance_id), "Failed", documentTraceOutput="not allowed")
    world.clock.now += 10
    assert world.poll(instance_id) == []


def test_cancelling_what_no_machine_has_taken_takes_it_back(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id)
    message_id = only_message(world, instance_id)
    world.ok("CancelCommand", {"CommandId": command_id})
    assert world.acknowledge(message_id).status == 400
    assert world.result(command_id, instance_id)["Status"] == "Cancelled"


def test_cancelling_what_runs_tells_the_machine(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id)
    message_id = only_message(world, instance_id)
    world.acknowledge(message_id)
    world.ok("CancelCommand", {"CommandId": command_id})
    world.ok("CancelCommand", {"CommandId": command_id})
    (cancel,) = world.poll(instance_id)
    assert message_id in cancel["Payload"]
    assert world.result(command_id, instance_id)["Status"] == "Cancelling"
    world.acknowledge(cancel["MessageId"])
    world.reply(message_id, "Cancelled")
    assert world.result(command_id, instance_id)["Status"] == "Cancelled"


def test_a_failed_message_is_undeliverable(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id)
    fields = {"MessageId": only_message(world, instance_id), "FailureType": "InternalHandlerException"}
    world.ok("EC2WindowsMessageDeliveryService.FailMessage", fields, node(instance_id))
    assert world.result(command_id, instance_id)["Status"] == "Undeliverable"


def test_a_deregistered_machine_is_gone_at_once(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id)
    world.ok("DeregisterManagedInstance", {"InstanceId": instance_id})
    assert world.result(command_id, instance_id)["Status"] == "Undeliverable"
    send = {"DocumentName": DOCUMENT_NAME, "InstanceIds": [instance_id], "Parameters": {"Order": ["a"]}}
    assert world.refused("SendCommand", send) == "InvalidInstanceId"


@pytest.mark.parametrize("seconds", [29, 2_592_001, "60"])
def test_a_delivery_timeout_out_of_bounds_is_refused(world: World, seconds: object) -> None:
    fields = {"DocumentName": DOCUMENT_NAME, "InstanceIds": [world.register()], "TimeoutSeconds": seconds}
    assert world.refused("SendCommand", {**fields, "Parameters": {"Order": ["a"]}}) == "ValidationException"


@pytest.mark.parametrize(
    "parameters",
    [
        {"Order": ["a;id"]},
        {"Order": ["a\n"]},
        {"Order": ["a\nid"]},
        {"Order": [""]},
        {"Order": ["a'b"]},
        {"Order": ["{{ Order }}"]},
        {"Order": ["ü"]},
        {"Order": ["a", "b"]},
        {"Order": "a"},
        {"Order": [1]},
        {},
        {"Order": ["a"], "Other": ["b"]},
    ],
)
def test_parameters_the_document_does_not_allow_are_refused(world: World, parameters: object) -> None:
    fields = {"DocumentName": DOCUMENT_NAME, "InstanceIds": [world.register()], "Parameters": parameters}
    assert world.refused("SendCommand", fields) == "InvalidParameters"


def test_output_is_kept_only_to_the_documented_length(world: World) -> None:
    instance_id = world.register()
    command_id = world.send(instance_id)
    message_id = only_message(world, instance_id)
    step = {"status": "Success", "code": 0, "standardOutput": "o" * 30_000, "standardError": "e" * 30_000}
    world.reply(message_id, "Success", runtimeStatus={"accept": step})
    seen = world.result(command_id, instance_id)
    assert (len(seen["StandardOutputContent"]), len(seen["StandardErrorContent"])) == (24_000, 8_000)


async def timed_poll(service: SsmService, instance_id: str) -> tuple[float, int]:
    target = "EC2WindowsMessageDeliveryService.GetMessages"
    body = f'{{"Destination": "{instance_id}"}}'.encode()
    answer = await service.handle(target, {}, body, node(instance_id))
    return time.perf_counter(), len(answer.body["Messages"])


def waiting_world(folder: Path, poll_s: float) -> tuple[World, str]:
    world = World(folder, poll_s=poll_s)
    world.service.put_document(DOCUMENT_NAME, command_document("true"))
    return world, world.register()


def test_a_waiting_poll_wakes_at_once(tmp_path: Path) -> None:
    world, instance_id = waiting_world(tmp_path, 5.0)
    body = f'{{"DocumentName":"{DOCUMENT_NAME}","InstanceIds":["{instance_id}"],"Parameters":{{"Order":["a"]}}}}'

    async def send_while_polling() -> int:
        poll = asyncio.create_task(timed_poll(world.service, instance_id))
        await asyncio.sleep(0.05)
        await world.service.handle("AmazonSSM.SendCommand", {}, body.encode(), ADMIN)
        _, count = await asyncio.wait_for(poll, 2)  # the poll itself would last 5 s
        return count

    assert asyncio.run(send_while_polling()) == 1


def test_a_newer_poll_of_a_machine_ends_the_older_one(tmp_path: Path) -> None:
    world, instance_id = waiting_world(tmp_path, 5.0)

    async def polls() -> list[int]:
        older = asyncio.create_task(timed_poll(world.service, instance_id))
        await asyncio.sleep(0.01)
        newer = asyncio.create_task(timed_poll(world.service, instance_id))
        await asyncio.sleep(0.01)
        assert older.done()
        newer.cancel()
        return [(await older)[1]]

    assert asyncio.run(polls()) == [0]


def test_deadlines_pass_by_themselves_while_nobody_asks(tmp_path: Path) -> None:
    world, instance_id = waiting_world(tmp_path, 0.0)
    body = f'{{"DocumentName":"{DOCUMENT_NAME}","InstanceIds":["{instance_id}"],"Parameters":{{"Order":["a"]}}}}'

    async def wait() -> None:
        await world.service.handle("AmazonSSM.SendCommand", {}, body.encode(), ADMIN)
        world.clock.now += 3600 - 0.01
        await timed_poll(world.service, instance_id)
        world.clock.now += 1
        await world.service.handle("AmazonSSM.ListCommands", {}, b"", ADMIN)
        await asyncio.sleep(0)

    asyncio.run(wait())
    assert statuses(world)[-1] == "Undeliverable"
