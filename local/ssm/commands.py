"""Run Command as its callers see it: send, cancel, look."""

from collections.abc import Callable

from local.ssm.access import Access, tag_context
from local.ssm.command_views import command_view, invocation_result_view, invocation_view
from local.ssm.delivery import Delivery
from local.ssm.documents import execution_timeout_s, resolve_parameters
from local.ssm.errors import SsmError, ValidationError
from local.ssm.ids import Ids
from local.ssm.library import Library
from local.ssm.model import Cancellation, Command, Document, Invocation, JsonObject, ManagedInstance, message_id
from local.ssm.nodes import Nodes
from local.ssm.replies import end
from local.ssm.request import Request
from local.ssm.store import Store

MIN_TIMEOUT_S = 30
MAX_TIMEOUT_S = 2_592_000
DEFAULT_TIMEOUT_S = 3600
MAX_INSTANCES = 50


class Commands:
    """The operations on commands."""

    def __init__(
        self,
        store: Store,
        access: Access,
        *,
        library: Library,
        nodes: Nodes,
        delivery: Delivery,
        clock: Callable[[], float],
        ids: Ids,
    ) -> None:
        self._store = store
        self._access = access
        self._library = library
        self._nodes = nodes
        self._delivery = delivery
        self._clock = clock
        self._ids = ids

    def send(self, request: Request) -> JsonObject:
        """SendCommand. Allowed only if the document and every machine are."""
        instance_ids = request.texts("InstanceIds")
        if request.fields.get("Targets") or not 1 <= len(set(instance_ids)) <= MAX_INSTANCES:
            raise ValidationError(f"Name 1 to {MAX_INSTANCES} machines in InstanceIds; Targets are not served.")
        timeout_s = request.integer("TimeoutSeconds", DEFAULT_TIMEOUT_S, MIN_TIMEOUT_S, MAX_TIMEOUT_S)
        self._require_send(request, instance_ids)
        document = self._library.document(request.text("DocumentName"))
        for instance_id in instance_ids:
            self._nodes.instance(instance_id)
        parameters = resolve_parameters(document.content, request.mapping("Parameters"))
        command = self.open(document, parameters, sorted(set(instance_ids)), timeout_s, request.text("Comment", ""))
        return {"Command": command_view(command, self._invocations(command))}

    def open(
        self,
        document: Document,
        parameters: dict[str, list[str]],
        instance_ids: list[str],
        timeout_s: int,
        comment: str,
    ) -> Command:
        """Record a command that was allowed, and hand it out."""
        now = self._clock()
        command = Command(
            command_id=self._ids.uuid(),
            document_name=document.name,
            document_version=document.version,
            content=document.content,
            parameters=parameters,
            instance_ids=instance_ids,
            requested_at=now,
            timeout_s=timeout_s,
            comment=comment,
        )
        finish_before = now + timeout_s + execution_timeout_s(document.content)
        self._delivery.send(
            command,
            [
                Invocation(command.command_id, instance_id, document.name, now, now + timeout_s, finish_before)
                for instance_id in instance_ids
            ],
        )
        return command

    def cancel(self, request: Request) -> JsonObject:
        """CancelCommand: what no machine has taken is cancelled at once, the rest is told."""
        self._access.require(request.caller, "ssm:CancelCommand")
        command = self._command(request.text("CommandId"))
        chosen = request.texts("InstanceIds") or command.instance_ids
        for invocation in self._invocations(command):
            if invocation.instance_id in chosen and not invocation.is_over:
                self._cancel_one(invocation)
        return {}

    def list_commands(self, request: Request) -> JsonObject:
        """ListCommands, newest first."""
        self._access.require(request.caller, "ssm:ListCommands")
        command_id, instance_id = request.text("CommandId", ""), request.text("InstanceId", "")
        chosen = [
            command_view(command, self._invocations(command))
            for command in reversed(list(self._store.all(Command)))
            if (not command_id or command.command_id == command_id)
            and (not instance_id or instance_id in command.instance_ids)
        ]
        return request.page("Commands", chosen)

    def list_invocations(self, request: Request) -> JsonObject:
        """ListCommandInvocations, newest first."""
        self._access.require(request.caller, "ssm:ListCommandInvocations")
        command_id, instance_id = request.text("CommandId", ""), request.text("InstanceId", "")
        details = request.fields.get("Details") is True
        chosen = [
            invocation_view(command, invocation, self._name(invocation.instance_id), details=details)
            for command in reversed(list(self._store.all(Command)))
            if not command_id or command.command_id == command_id
            for invocation in self._invocations(command)
            if not instance_id or invocation.instance_id == instance_id
        ]
        return request.page("CommandInvocations", chosen)

    def get_invocation(self, request: Request) -> JsonObject:
        """GetCommandInvocation of a step, by default the first."""
        self._access.require(request.caller, "ssm:GetCommandInvocation")
        command = self._store.find(Command, request.text("CommandId"))
        invocation = self._store.find(Invocation, message_id(request.text("CommandId"), request.text("InstanceId")))
        if command is None or invocation is None:
            raise SsmError("InvocationDoesNotExist", "The command ID and managed node ID do not match any invocation.")
        names = [step["name"] for step in command.content["mainSteps"]]
        name = request.text("PluginName", names[0])
        if name not in names:
            raise SsmError("InvalidPluginName", "The plugin name is not valid.")
        return invocation_result_view(command, invocation, name)

    def _require_send(self, request: Request, instance_ids: list[str]) -> None:
        name = request.text("DocumentName").rsplit("document/", 1)[-1]
        document = self._store.find(Document, name)
        document_tags = tag_context(document.tags if document else {})
        self._access.require(request.caller, "ssm:SendCommand", self._access.arn("document", name), document_tags)
        for instance_id in instance_ids:
            instance = self._store.find(ManagedInstance, instance_id)
            context = tag_context(instance.tags if instance else {})
            arn = self._access.arn("managed-instance", instance_id)
            self._access.require(request.caller, "ssm:SendCommand", arn, context)

    def _cancel_one(self, invocation: Invocation) -> None:
        if not invocation.acknowledged:
            self._delivery.save(invocation, end(invocation, "Cancelled", "Cancelled"))
        elif invocation.status != "Cancelling":
            now = self._clock()
            cancellation = Cancellation(
                self._ids.uuid(), invocation.command_id, invocation.instance_id, now, invocation.finish_before
            )
            self._delivery.cancel(invocation, cancellation)

    def _command(self, command_id: str) -> Command:
        command = self._store.find(Command, command_id)
        if command is None:
            raise SsmError("InvalidCommandId", "The command ID is not valid.")
        return command

    def _invocations(self, command: Command) -> list[Invocation]:
        keys = [message_id(command.command_id, instance_id) for instance_id in command.instance_ids]
        found = [self._store.find(Invocation, key) for key in keys]
        return [invocation for invocation in found if invocation is not None]

    def _name(self, instance_id: str) -> str:
        instance = self._store.find(ManagedInstance, instance_id)
        return instance.name if instance else ""
