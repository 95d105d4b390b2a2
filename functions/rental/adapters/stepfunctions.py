"""Step Functions: executions by name, and answers to tasks that wait."""

import contextlib
import json
import logging
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rental.domain.ids import ContractId

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_log = logging.getLogger(__name__)


class MachineWorkflows:
    """The port `Workflows`. A start that fails is logged: the sweep starts what is late."""

    def __init__(self, client: "SFNClient", machine_arn: str) -> None:
        self._client = client
        self._machine_arn = machine_arn

    def start(self, contract_id: ContractId, run: int) -> None:
        try:
            self._client.start_execution(
                stateMachineArn=self._machine_arn,
                name=f"c{contract_id}-{run}",
                input=json.dumps({"contract_id": contract_id, "run": run}),
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return
        except (ClientError, BotoCoreError) as error:
            _log.error("execution not started", extra={"contract_id": contract_id, "run": run, "why": str(error)})

    def stop(self, contract_id: ContractId, run: int) -> None:
        try:
            self._client.stop_execution(executionArn=self._arn(contract_id, run), cause="a newer run took over")
        except (ClientError, BotoCoreError) as error:
            _log.warning("execution not stopped", extra={"contract_id": contract_id, "run": run, "why": str(error)})

    def is_running(self, contract_id: ContractId, run: int) -> bool:
        try:
            answer = self._client.describe_execution(executionArn=self._arn(contract_id, run))
        except self._client.exceptions.ExecutionDoesNotExist:
            return False
        return answer["status"] == "RUNNING"

    def _arn(self, contract_id: ContractId, run: int) -> str:
        return f"{self._machine_arn.replace(':stateMachine:', ':execution:')}:c{contract_id}-{run}"


class MachineTasks:
    """The port `Tasks`."""

    def __init__(self, client: "SFNClient") -> None:
        self._client = client

    def succeed(self, token: str, output: str) -> None:
        try:
            self._client.send_task_success(taskToken=token, output=output)
        except self._gone:
            return
        except (ClientError, BotoCoreError) as error:
            _log.error("task not answered", extra={"why": str(error)})

    def fail(self, token: str, error: str, cause: str) -> None:
        with contextlib.suppress(*self._gone):
            self._client.send_task_failure(taskToken=token, error=error, cause=cause)

    @property
    def _gone(self) -> tuple[type[ClientError], ...]:
        known = self._client.exceptions
        return known.TaskDoesNotExist, known.TaskTimedOut, known.InvalidToken
