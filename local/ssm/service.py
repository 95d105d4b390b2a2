"""The whole service without a web server: a request in, an answer out."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.ssm.access import Access, Authorize
from local.ssm.agents import Agents
from local.ssm.commands import Commands
from local.ssm.delivery import Delivery, Emit
from local.ssm.errors import SsmError, ValidationError
from local.ssm.ids import Ids, RandomIds
from local.ssm.library import TAGGED_TYPES, Library
from local.ssm.model import JsonObject
from local.ssm.nodes import IssueCredentials, Nodes
from local.ssm.request import Request, parse_fields
from local.ssm.sigv4 import Caller
from local.ssm.store import Store

SSM_PREFIX = "AmazonSSM."
MESSAGES_PREFIX = "EC2WindowsMessageDeliveryService."
DEFAULT_POLL_S = 18.0

_TAG_OPERATIONS = ("AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource")

Operation = Callable[[Request], JsonObject]
AsyncOperation = Callable[[Request], Awaitable[JsonObject]]


@dataclass(frozen=True)
class Response:
    """An answer: a status and a JSON object."""

    status: int
    body: JsonObject

    def encoded(self) -> bytes:
        """Return the body as bytes."""
        return json.dumps(self.body).encode()


class SsmService:
    """Run Command for hybrid nodes, durable in one journal file.

    `authorize` decides as IAM does, `issue_credentials` opens a session of a role whose ARN ends in "/<instance id>",
    `emit` takes a PutEvents entry of source aws.ssm. All run on the event loop of the service and must not block.
    """

    def __init__(
        self,
        journal_path: Path,
        *,
        account_id: str,
        region: str,
        authorize: Authorize,
        issue_credentials: IssueCredentials,
        emit: Emit,
        clock: Callable[[], float] = time.time,
        ids: Ids | None = None,
        poll_s: float = DEFAULT_POLL_S,
    ) -> None:
        names = ids or RandomIds()
        self._store = Store(journal_path, clock())
        access = Access(authorize, account_id=account_id, region=region)
        self.library = Library(self._store, access, clock=clock, account_id=account_id)
        nodes = Nodes(self._store, access, clock=clock, ids=names, issue=issue_credentials)
        self._delivery = Delivery(
            self._store, clock=clock, emit=emit, is_online=nodes.is_online, account_id=account_id, region=region
        )
        self.commands = Commands(
            self._store, access, library=self.library, nodes=nodes, delivery=self._delivery, clock=clock, ids=names
        )
        self._agents = Agents(self._store, access, nodes=nodes, delivery=self._delivery, poll_s=poll_s)
        self._access = access
        self._nodes = nodes
        self._operations = self._table()
        self._async_operations: dict[str, AsyncOperation] = {
            f"{MESSAGES_PREFIX}GetMessages": self._agents.get_messages,
        }

    def handles(self, target: str, body: bytes = b"") -> bool:
        """Say whether a call is for this service; tags of parameters, for one, are not."""
        if target.removeprefix(SSM_PREFIX) in _TAG_OPERATIONS and target.startswith(SSM_PREFIX):
            return _resource_type(body) in TAGGED_TYPES
        return target in self._operations or target in self._async_operations

    def might_handle(self, target: str) -> bool:
        """Say whether the body is worth reading to find out."""
        return target in self._operations or target in self._async_operations

    async def handle(self, target: str, headers: Mapping[str, str], body: bytes, caller: Caller | None) -> Response:
        """Answer a call; header names are in lower case, `caller` is who signed it, None if it is unsigned."""
        try:
            request = Request(target.rsplit(".", 1)[-1], headers, body, parse_fields(body), caller)
            self._delivery.expire()
            if target in self._async_operations:
                return Response(200, await self._async_operations[target](request))
            if target in self._operations:
                return Response(200, self._operations[target](request))
        except SsmError as error:
            return refusal(error)
        return refusal(ValidationError(f"The operation {target} is not served."))

    def put_document(self, name: str, content: str | Mapping[str, Any], tags: Mapping[str, str] | None = None) -> None:
        """Create or change a document without deciding rights: for a deployer that has decided them."""
        self.library.put(name, content, tags)

    def remove_document(self, name: str) -> None:
        """Delete a document without deciding rights."""
        self.library.remove(name)

    def close(self) -> None:
        """Stop the timer and close the journal."""
        self._delivery.close()
        self._store.close()

    def _deregister(self, request: Request) -> JsonObject:
        self._agents.end_all(self._nodes.deregister(request))
        return {}

    def _no_associations(self, request: Request) -> JsonObject:
        action = f"ssm:{request.operation}"
        instance_id = request.text("InstanceId", "")
        self._access.require(
            request.caller, action, self._access.arn("managed-instance", instance_id) if instance_id else ""
        )
        return {"Associations": []}

    def _table(self) -> dict[str, Operation]:
        ssm: dict[str, Operation] = {
            "CreateActivation": self._nodes.create_activation,
            "DescribeActivations": self._nodes.describe_activations,
            "DeleteActivation": self._nodes.delete_activation,
            "RegisterManagedInstance": self._nodes.register,
            "RequestManagedInstanceRoleToken": self._nodes.request_role_token,
            "UpdateInstanceInformation": self._nodes.update_information,
            "DescribeInstanceInformation": self._nodes.describe_information,
            "DeregisterManagedInstance": self._deregister,
            "AddTagsToResource": self.library.add_tags,
            "RemoveTagsFromResource": self.library.remove_tags,
            "ListTagsForResource": self.library.list_tags,
            "CreateDocument": self.library.create,
            "UpdateDocument": self.library.update,
            "DeleteDocument": self.library.delete,
            "GetDocument": self.library.get,
            "DescribeDocument": self.library.describe,
            "SendCommand": self.commands.send,
            "CancelCommand": self.commands.cancel,
            "ListCommands": self.commands.list_commands,
            "ListCommandInvocations": self.commands.list_invocations,
            "GetCommandInvocation": self.commands.get_invocation,
            "ListInstanceAssociations": self._no_associations,
            "ListAssociations": self._no_associations,
        }
        messages: dict[str, Operation] = {
            "AcknowledgeMessage": self._agents.acknowledge,
            "SendReply": self._agents.send_reply,
            "FailMessage": self._agents.fail,
            "DeleteMessage": self._agents.delete,
        }
        return {
            **{f"{SSM_PREFIX}{name}": operation for name, operation in ssm.items()},
            **{f"{MESSAGES_PREFIX}{name}": operation for name, operation in messages.items()},
        }


def refusal(error: SsmError) -> Response:
    """Write a refusal as SDKs read it."""
    return Response(error.status, {"__type": error.code, "message": error.message})


def _resource_type(body: bytes) -> str:
    try:
        return str(parse_fields(body).get("ResourceType", ""))
    except SsmError:
        return ""
