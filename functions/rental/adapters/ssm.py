"""SSM: the way to the hosts, and the word on which machine used which activation."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rental.domain.ids import HostId
from rental.ports import Activation

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

DELIVERY_TIMEOUT_S = 120
"""A start that arrives an hour late is the worst fault there is: SSM gives a command up after this."""


class SsmCommands:
    """The port `HostCommands`: our one document, with one parameter."""

    def __init__(self, client: "SSMClient", document_name: str) -> None:
        self._client = client
        self._document_name = document_name

    def send(self, node_id: str, order: str) -> None:
        self._client.send_command(
            InstanceIds=[node_id],
            DocumentName=self._document_name,
            Parameters={"Order": [order]},
            TimeoutSeconds=DELIVERY_TIMEOUT_S,
        )


class SsmActivations:
    """The port `Activations`: hybrid ones, for one machine each."""

    def __init__(self, client: "SSMClient", role_name: str, stage: str) -> None:
        self._client = client
        self._role_name = role_name
        self._stage = stage

    def create_activation(self, host_id: HostId, expires_at: int) -> Activation:
        answer = self._client.create_activation(
            Description=f"GPULease host {host_id}",
            DefaultInstanceName=f"gpulease-{host_id}",
            IamRole=self._role_name,
            RegistrationLimit=1,
            ExpirationDate=datetime.fromtimestamp(expires_at, UTC),
            Tags=[{"Key": "gpulease:stage", "Value": self._stage}, {"Key": "gpulease:host", "Value": str(host_id)}],
        )
        return Activation(answer["ActivationId"], answer["ActivationCode"])


class SsmNodes:
    """The port `Nodes`."""

    def __init__(self, client: "SSMClient") -> None:
        self._client = client

    def node_of(self, activation_id: str) -> str | None:
        answer = self._client.describe_instance_information(
            Filters=[{"Key": "ActivationIds", "Values": [activation_id]}]
        )
        nodes = [each["InstanceId"] for each in answer["InstanceInformationList"]]
        return nodes[0] if len(nodes) == 1 else None
