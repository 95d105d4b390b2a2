"""What hosts say, from the bus to the functions: a change at once, plain heartbeats in batches through a queue.

The patterns only sort; who sent an event is decided by its signature, in the function.
"""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.constructs.function import ServiceFunction
from infra.constructs.queues import WorkQueue

SOURCE = "gpulease.host"
# An event older than two minutes is refused by its time stamp, so there is no use in delivering one much later.
USEFUL_FOR = Duration.minutes(5)
RETRIES = 10


class HostEvents(Construct):
    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        bus: events.IEventBus,
        on_instance_changed: ServiceFunction,
        heartbeats: WorkQueue,
    ) -> None:
        super().__init__(scope, construct_id)
        events.Rule(
            self,
            "InstanceChanged",
            event_bus=bus,
            event_pattern=events.EventPattern(source=[SOURCE], detail_type=["InstanceChanged"]),
            targets=[
                targets.LambdaFunction(
                    on_instance_changed.live,
                    dead_letter_queue=on_instance_changed.dead_letters,
                    max_event_age=USEFUL_FOR,
                    retry_attempts=RETRIES,
                )
            ],
        )
        events.Rule(
            self,
            "Heartbeat",
            event_bus=bus,
            event_pattern=events.EventPattern(source=[SOURCE], detail_type=["Heartbeat"]),
            targets=[
                targets.SqsQueue(
                    heartbeats.queue,
                    dead_letter_queue=heartbeats.dead_letters,
                    max_event_age=USEFUL_FOR,
                    retry_attempts=RETRIES,
                )
            ],
        )
