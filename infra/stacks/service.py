"""The service: functions, the state machine, the API, the queues and rules between them."""

from pathlib import Path

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as event_targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Stage
from infra.constructs.alarms import Alarms
from infra.constructs.api import RentalApi
from infra.constructs.contract_machine import ContractMachine
from infra.constructs.function import Artifact, ServiceFunction
from infra.constructs.host_events import HostEvents
from infra.constructs.host_package import HostPackageAsset
from infra.constructs.layer import DependencyLayer
from infra.constructs.queues import WorkQueue
from infra.entrypoints import ENTRY_POINTS, On
from infra.paths import FUNCTIONS
from infra.stacks.data import DataStack
from infra.stacks.host import HostStack
from infra.stacks.wiring import Wiring

BATCH = 10
# Two readers a queue and five commands a second each keep below what Systems Manager takes; two is SQS's least.
DISPATCH_READERS = 2
HEARTBEAT_READERS = 10
# A bell that cannot be delivered is a dead letter after five minutes, so an older one was not even tried. A report is
# tried again after three; hosts count as silent after five.
LONGEST_WAIT_S = {On.URGENT_QUEUE: 330, On.NORMAL_QUEUE: 330, On.HEARTBEAT_QUEUE: 240}
NOT_CODE = ["**/__pycache__", "**/*.pyc", "**/.*_cache", "requirements.txt"]


class ServiceStack(Stack):
    def __init__(
        self, scope: Construct, construct_id: str, *, stage: Stage, layer: Path, data: DataStack, host: HostStack
    ) -> None:
        super().__init__(scope, construct_id)
        self.stage = stage
        self.api_url_export = f"{construct_id}-ApiUrl"
        self._artifact = Artifact(
            code=lambda_.Code.from_asset(str(FUNCTIONS), exclude=NOT_CODE),
            layer=DependencyLayer(self, "Libraries", stage=stage, built=layer),
        )
        self._queues = self._make_queues()
        self._wiring = Wiring(self, stage=stage, data=data, host=host, queues=self._queues)
        self._functions: dict[str, ServiceFunction] = {}
        # Before its functions, which may know its URL; only its routes need them.
        self._api = RentalApi(self, "Api", stage=stage)
        self._wiring.add_api(self._api)
        self._wiring.add_package(HostPackageAsset(self, "HostPackage"))
        self._machine = self._make_machine()
        for name in ENTRY_POINTS:
            self._function(name)
        self._serve()
        self._connect(host.bus)
        self._watch(data)
        self._tell()

    def _make_queues(self) -> dict[On, WorkQueue]:
        """A stop or a removal never waits behind starts. What is too old to act on is dropped by its reader."""
        dispatch_s = ENTRY_POINTS["dispatch"].timeout_s
        heartbeat_s = ENTRY_POINTS["on_heartbeat"].timeout_s
        day, hour = Duration.days(1), Duration.hours(1)
        return {
            On.URGENT_QUEUE: self._queue("Urgent", dispatch_s, day),
            On.NORMAL_QUEUE: self._queue("Normal", dispatch_s, day),
            On.HEARTBEAT_QUEUE: self._queue("Heartbeats", heartbeat_s, hour),
        }

    def _queue(self, name: str, reader_timeout_s: int, kept: Duration) -> WorkQueue:
        return WorkQueue(self, name, stage=self.stage, reader_timeout_s=reader_timeout_s, kept=kept)

    def _make_machine(self) -> ContractMachine:
        """Needs the step function alone, so that all others may know the machine."""
        machine = ContractMachine(self, "Contract", stage=self.stage, step=self._function("step").live)
        self._wiring.add_machine(machine)
        return machine

    def _function(self, name: str) -> ServiceFunction:
        if name not in self._functions:
            self._functions[name] = ServiceFunction(
                self,
                "".join(word.capitalize() for word in name.split("_")),
                entry=ENTRY_POINTS[name],
                stage=self.stage,
                artifact=self._artifact,
                env=self._wiring.env,
                targets=self._wiring.targets,
            )
        return self._functions[name]

    def _serve(self) -> None:
        live: dict[str, lambda_.IFunction] = {name: made.live for name, made in self._functions.items()}
        self._api.serve(live, live["authorizer"])

    def _connect(self, bus: events.IEventBus) -> None:
        HostEvents(
            self,
            "HostEvents",
            bus=bus,
            on_instance_changed=self._functions["on_instance_changed"],
            heartbeats=self._queues[On.HEARTBEAT_QUEUE],
        )
        self._read(On.URGENT_QUEUE, "dispatch", DISPATCH_READERS)
        self._read(On.NORMAL_QUEUE, "dispatch", DISPATCH_READERS)
        self._read(On.HEARTBEAT_QUEUE, "on_heartbeat", HEARTBEAT_READERS)
        sweep = self._functions["sweep"]
        events.Rule(
            self,
            "EachMinute",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[
                event_targets.LambdaFunction(
                    sweep.live,
                    dead_letter_queue=sweep.dead_letters,
                    # The next one does the same work: an old one is of no use.
                    max_event_age=Duration.minutes(1),
                    retry_attempts=1,
                )
            ],
        )

    def _read(self, queue: On, function: str, readers: int) -> None:
        lambda_.EventSourceMapping(
            self,
            f"{self._queues[queue].node.id}To{function.capitalize()}",
            target=self._functions[function].live,
            event_source_arn=self._queues[queue].queue.queue_arn,
            batch_size=BATCH,
            max_concurrency=readers,
            report_batch_item_failures=True,
        )

    def _watch(self, data: DataStack) -> None:
        alarms = Alarms(self, "Alarms", email=self.stage.alarm_email, namespace=f"GPULease/{self.stage.name}")
        functions = self._functions.values()
        dead_letters = [queue.dead_letters for queue in self._queues.values()]
        alarms.watch_dead_letters([*dead_letters, *(f.dead_letters for f in functions if f.dead_letters)])
        alarms.watch_work({self._queues[name].queue: limit_s for name, limit_s in LONGEST_WAIT_S.items()})
        alarms.watch_functions(f.function for f in functions)
        alarms.watch_api(self._api, self._api.access_logs)
        alarms.watch_tables([data.rentals, data.liveness])
        alarms.watch_machine(self._machine)
        alarms.watch_sweep(self._functions["sweep"].function, self._functions["sweep"].logs)
        heard = {
            "Requests": "api_machine",
            "Certificates": "api_certificates",
            "Changes": "on_instance_changed",
            "Heartbeats": "on_heartbeat",
        }
        alarms.watch_refusals({name: self._functions[function].logs for name, function in heard.items()})

    def _tell(self) -> None:
        CfnOutput(self, "ApiUrl", value=self._api.api_endpoint, export_name=self.api_url_export)
        CfnOutput(self, "StateMachineArn", value=self._machine.state_machine_arn)
        CfnOutput(self, "UrgentQueueUrl", value=self._queues[On.URGENT_QUEUE].queue.queue_url)
        CfnOutput(self, "NormalQueueUrl", value=self._queues[On.NORMAL_QUEUE].queue.queue_url)
