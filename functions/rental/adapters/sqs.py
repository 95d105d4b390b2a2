"""Bells in two queues: what stops or removes goes first."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rental.domain.book import Bell
from rental.domain.ids import ContractId, HostId, InstanceId

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_log = logging.getLogger(__name__)


class QueueBells:
    """The port `Bells`. A bell that cannot be put is logged: the next report of the host rings it again."""

    def __init__(self, client: "SQSClient", urgent_url: str, normal_url: str) -> None:
        self._client = client
        self._urgent_url = urgent_url
        self._normal_url = normal_url

    def ring(self, bells: Sequence[Bell]) -> None:
        for bell in bells:
            url = self._urgent_url if bell.urgent else self._normal_url
            try:
                self._client.send_message(QueueUrl=url, MessageBody=json.dumps(dump_bell(bell)))
            except (ClientError, BotoCoreError) as error:
                _log.error("bell not rung", extra={"instance_id": bell.instance_id, "why": str(error)})


def dump_bell(bell: Bell) -> dict[str, Any]:
    return {
        "v": 1,
        "host_id": bell.host_id,
        "contract_id": bell.contract_id,
        "instance_id": bell.instance_id,
        "generation": bell.generation,
        "urgent": bell.urgent,
        "call_id": bell.call_id,
    }


def load_bell(body: Mapping[str, Any]) -> Bell:
    """Raises KeyError for what is not a bell."""
    return Bell(
        HostId(body["host_id"]),
        ContractId(body["contract_id"]),
        InstanceId(body["instance_id"]),
        body["generation"],
        body["urgent"],
        body.get("call_id"),
    )
