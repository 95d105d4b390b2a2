"""Commands in hand: taken from messages, five at a time, each to its last reply."""

import json
import logging
import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from local.agent.courier import Courier
from local.agent.ledger import Entry, Ledger
from local.agent.plan import RefusedDocumentError, Step, read_plan
from local.agent.reply import document_status, reply_payload, step_status
from local.agent.script import CancelFlag, ScriptResult, run_script
from local.agent.wire import JsonObject, RefusedError, UnreachableError

WORKERS = 5
SEND_TOPIC = "aws.ssm.sendCommand."
CANCEL_TOPIC = "aws.ssm.cancelCommand."

log = logging.getLogger(__name__)


class Runner:
    """Takes messages, runs their scripts, reports. `environment` is what scripts see."""

    def __init__(
        self,
        courier: Courier,
        ledger: Ledger,
        *,
        folder: Path,
        environment: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._courier = courier
        self._ledger = ledger
        self._folder = folder
        self._environment = environment
        self._clock = clock
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._in_hand: dict[str, CancelFlag] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the workers, and go on with what a crash left behind."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for number in range(WORKERS):
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()
        for entry in self._ledger.unreported():
            self._resume(entry)

    def is_idle(self) -> bool:
        """Say whether no command is in hand."""
        with self._lock:
            return not self._in_hand

    def take(self, message: JsonObject) -> None:
        """Act on a message."""
        topic, message_id = str(message.get("Topic")), str(message.get("MessageId"))
        payload = str(message.get("Payload"))
        try:
            if topic.startswith(SEND_TOPIC):
                self._take_command(message_id, payload)
            elif topic.startswith(CANCEL_TOPIC):
                self._take_cancellation(message_id, payload)
            else:
                self._courier.fail(message_id)
        except RefusedError as error:
            log.warning("message %s: %s", message_id, error)

    def _take_command(self, message_id: str, payload: str) -> None:
        if self._ledger.find(message_id) is not None:
            self._courier.acknowledge(message_id)
            return
        try:
            steps = read_plan(payload)
        except RefusedDocumentError as error:
            self._courier.reply(message_id, reply_payload(self._clock(), "Failed", trace=str(error)))
            return
        self._courier.reply(message_id, reply_payload(self._clock(), "InProgress"))
        self._ledger.accept(message_id, payload)
        try:
            self._courier.acknowledge(message_id)
        except RefusedError:
            self._ledger.report(message_id)
            raise
        except UnreachableError:
            self._enqueue(message_id, lambda cancel: self._acknowledge_and_run(message_id, steps, cancel))
            return
        self._enqueue(message_id, lambda cancel: self._run(message_id, steps, cancel))

    def _take_cancellation(self, message_id: str, payload: str) -> None:
        try:
            cancelled_id = str(json.loads(payload)["CancelMessageId"])
        except (ValueError, KeyError, TypeError):
            self._courier.fail(message_id)
            return
        with self._lock:
            flag = self._in_hand.get(cancelled_id)
            if flag is not None:
                flag.set()
        self._courier.reply(message_id, reply_payload(self._clock(), "InProgress"))
        self._courier.acknowledge(message_id)

    def _resume(self, entry: Entry) -> None:
        message_id = entry.message_id
        if entry.phase == "accepted":
            steps = read_plan(entry.payload)
            self._enqueue(message_id, lambda cancel: self._acknowledge_and_run(message_id, steps, cancel))
        elif entry.phase == "started":
            trace = "The agent was stopped while the command ran; its outcome is not known."
            owed = [reply_payload(self._clock(), "Failed", trace=trace)]
            self._enqueue(message_id, lambda _: self._report(message_id, owed))
        else:
            self._enqueue(message_id, lambda _: self._report(message_id, entry.owed))

    def _enqueue(self, message_id: str, job: Callable[[CancelFlag], None]) -> None:
        flag = CancelFlag()
        with self._lock:
            self._in_hand[message_id] = flag
        self._jobs.put(lambda: self._do(message_id, job, flag))

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def _do(self, message_id: str, job: Callable[[CancelFlag], None], flag: CancelFlag) -> None:
        try:
            job(flag)
        except (OSError, RefusedError, UnreachableError) as error:
            log.error("command %s: %s", message_id, error)
        finally:
            with self._lock:
                del self._in_hand[message_id]
                flag.close()

    def _acknowledge_and_run(self, message_id: str, steps: tuple[Step, ...], cancel: CancelFlag) -> None:
        if self._courier.insist_acknowledge(message_id):
            self._run(message_id, steps, cancel)
        else:
            self._ledger.report(message_id)

    def _run(self, message_id: str, steps: tuple[Step, ...], cancel: CancelFlag) -> None:
        self._ledger.start(message_id)
        done: JsonObject = {}
        for step in steps:
            done[step.name] = self._run_step(message_id, step, cancel)
            if step is not steps[-1]:
                self._courier.insist_reply(message_id, reply_payload(self._clock(), "InProgress", done))
        owed = [
            reply_payload(self._clock(), "InProgress", done),
            reply_payload(self._clock(), document_status(done), done),
        ]
        self._ledger.finish(message_id, owed)
        self._report(message_id, owed)

    def _run_step(self, message_id: str, step: Step, cancel: CancelFlag) -> JsonObject:
        folder = self._folder / message_id / step.name.replace("/", "_")
        started_at = self._clock()
        if cancel.is_set:
            return step_status(ScriptResult("Cancelled", 1, "", ""), started_at, started_at)
        result = run_script(
            step.lines,
            folder,
            timeout_s=step.timeout_s,
            environment=self._environment,
            working_dir=step.working_dir,
            cancel=cancel,
        )
        return step_status(result, started_at, self._clock())

    def _report(self, message_id: str, owed: list[str]) -> None:
        for payload in owed:
            self._courier.insist_reply(message_id, payload)
        self._ledger.report(message_id)
        shutil.rmtree(self._folder / message_id, ignore_errors=True)
