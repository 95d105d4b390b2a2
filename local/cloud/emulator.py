"""Every private name of MiniStack that the local cloud touches, and the check that they exist.

MiniStack is pinned to one version because these names carry no promise. They stand in this module
alone; `check_private_names` runs before the first request and says in one sentence what moved.
MiniStack reads its environment when it is imported, so nothing here imports it before it is needed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import time
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from local.cloud.asgi import App, Request, Response

PINNED_VERSION = "1.5.33"
HTTP_API = "AWS::ApiGatewayV2::Api"
KMS_KEY = "AWS::KMS::Key"

PRIVATE_NAMES: Mapping[str, tuple[str, ...]] = {
    "ministack.app": ("app", "_handle_execute_api_request"),
    "ministack.core.iam_evaluator": ("CredentialResolutionError", "enforce", "resolve_credential"),
    "ministack.core.lambda_runtime": ("Worker._drain_stderr_bounded",),
    "ministack.services.apigateway": ("_apis",),
    "ministack.services.cloudformation.provisioners": ("_RESOURCE_HANDLERS",),
    "ministack.services.dynamodb": ("_tables", "_ttl_settings", "_get_item"),
    "ministack.services.eventbridge": ("_put_events", "_SCHEDULER_TICK_INTERVAL"),
    "ministack.services.kms": ("get_state", "load_persisted_state"),
    "ministack.services.lambda_svc": ("_ESM_IDLE_WAKE_GAP_SECONDS",),
    "ministack.services.stepfunctions": ("_run_execution", "time"),
    "ministack.services.sts": ("register_session",),
}

KmsKey = dict[str, Any]
"""A key as the emulator writes it, its material included, by whatever kind it is."""
ResourceCreate = Callable[[str, dict[str, Any], str], tuple[str, dict[str, Any]]]
ResourceUpdate = Callable[[str, dict[str, Any], dict[str, Any], str], tuple[str, dict[str, Any]]]
ResourceDelete = Callable[[str, dict[str, Any]], None]


class EmulatorMismatchError(Exception):
    """The installed MiniStack is not the one whose private names are used here."""


class FoundKey(NamedTuple):
    """An access key on record; `expires_at` is epoch seconds, None for a lasting key."""

    arn: str
    secret: str
    session_token: str | None
    expires_at: float | None


class TableKeys(NamedTuple):
    """What identifies an item of a table, and the attribute that ends its life."""

    names: tuple[str, ...]
    ttl_attribute: str | None


def check_private_names() -> None:
    """Refuse to start on another version, or on names that moved."""
    installed = importlib.metadata.version("ministack")
    if installed != PINNED_VERSION:
        raise EmulatorMismatchError(f"MiniStack {PINNED_VERSION} is needed, {installed} is installed.")
    missing = [f"{path}.{name}" for path, names in PRIVATE_NAMES.items() for name in names if not _has(path, name)]
    if missing:
        raise EmulatorMismatchError(f"MiniStack {installed} has no {', '.join(missing)}.")


def asgi_app() -> App:
    """MiniStack's whole ASGI application, lifespan included."""
    app: App = _module("ministack.app").app
    return app


def shorten_waits() -> None:
    """Remove the fixed pauses that real AWS does not have.

    A function that logs nothing costs 50 ms while MiniStack waits for a first line; an execution sleeps
    150 ms before its first state; a schedule is looked at every 10 s. None guards anything.
    """
    worker = _module("ministack.core.lambda_runtime").Worker
    worker._drain_stderr_bounded.__defaults__ = (0.002, 0.001, 0.250)
    _module("ministack.services.stepfunctions").time = _PromptTime("prompt_time")
    _module("ministack.services.eventbridge")._SCHEDULER_TICK_INTERVAL = 1
    _module("ministack.services.lambda_svc")._ESM_IDLE_WAKE_GAP_SECONDS = 0.005


class _PromptTime(types.ModuleType):
    """`time` as the Step Functions module sees it, without its pause before the first state."""

    START_PAUSE_S = 0.15

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        if seconds != self.START_PAUSE_S:
            time.sleep(seconds)


def register_resource_type(name: str, create: ResourceCreate, update: ResourceUpdate, delete: ResourceDelete) -> None:
    """Teach CloudFormation a resource type that MiniStack does not know."""
    handlers = _module("ministack.services.cloudformation.provisioners")._RESOURCE_HANDLERS
    handlers[name] = {"create": create, "update": update, "delete": delete}


def publish_http_apis_at(url: str) -> None:
    """Have templates read as `ApiEndpoint` the URL that an HTTP API is really reached at, as they do in AWS.

    MiniStack's own is a new one at each start, on a port that is the whole account's.
    """
    handlers = _module("ministack.services.cloudformation.provisioners")._RESOURCE_HANDLERS[HTTP_API]
    for deed in ("create", "update"):
        handlers[deed] = _with_endpoint(handlers[deed], url)


def _with_endpoint(deed: Callable[..., tuple[str, dict[str, Any]]], url: str) -> Callable[..., Any]:
    def published(*arguments: Any, **named: Any) -> tuple[str, dict[str, Any]]:
        physical_id, attributes = deed(*arguments, **named)
        return physical_id, attributes | {"ApiEndpoint": url}

    return published


def restore_kms_keys(find: Callable[[str], KmsKey | None], keep: Callable[[str, KmsKey], None]) -> None:
    """Have a key of a template be the one that `find` knows, and tell `keep` of one that is new.

    As in AWS, a template that has changed what a key is for is refused.
    """
    handlers = _module("ministack.services.cloudformation.provisioners")._RESOURCE_HANDLERS[KMS_KEY]
    kms = _module("ministack.services.kms")
    make, update = handlers["create"], handlers["update"]

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        name = f"{stack_name}/{logical_id}"
        known = find(name)
        if known is not None:
            kms.load_persisted_state({"keys": {known["KeyId"]: dict(known)}})
            was = {each: known[each] for each in ("KeySpec", "KeyUsage")}
            return update(known["KeyId"], was, properties, stack_name)
        made = make(logical_id, properties, stack_name)
        keep(name, kms.get_state()["keys"][made[0]])
        return made

    handlers["create"] = create


def http_api_ids() -> list[str]:
    """The HTTP APIs that exist now."""
    return sorted(_module("ministack.services.apigateway")._apis)


async def call_http_api(api_id: str, request: Request) -> Response:
    """Run one request through an HTTP API's routes, authorizer and integration."""
    answer = await _module("ministack.app")._handle_execute_api_request(
        f"{api_id}.execute-api.localhost",
        request.path,
        request.method,
        request.joined_headers(),
        request.body,
        request.query(),
        raw_path=request.raw_path,
        raw_query_string=request.query_string,
    )
    status, headers, body = answer
    return Response(status, _header_list(headers), body if isinstance(body, bytes) else body.encode())


def table_keys(table: str) -> TableKeys | None:
    """The key attributes of a table, or None when it does not exist."""
    dynamodb = _module("ministack.services.dynamodb")
    record = dynamodb._tables.get(table)
    if record is None:
        return None
    setting = dynamodb._ttl_settings.get(table) or {}
    enabled = setting.get("TimeToLiveStatus") == "ENABLED"
    names = tuple(name for name in (record["pk_name"], record["sk_name"]) if name)
    return TableKeys(names, setting.get("AttributeName") if enabled else None)


def read_item(table: str, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """The item as it is now, in DynamoDB's JSON."""
    question = {"TableName": table, "Key": dict(key), "ConsistentRead": True}
    _status, _headers, body = _module("ministack.services.dynamodb")._get_item(question)
    item: dict[str, Any] | None = json.loads(body).get("Item")
    return item


def find_key(access_key_id: str) -> FoundKey | None:
    """Whose access key it is, and what signs with it; None when nobody's, or no longer valid."""
    evaluator = _module("ministack.core.iam_evaluator")
    found = evaluator.resolve_credential(access_key_id)
    if isinstance(found, evaluator.CredentialResolutionError):
        return None
    return FoundKey(found.principal_arn, found.secret_access_key, found.session_token, found.expiration)


def is_allowed(access_key_id: str, action: str, resource: str, region: str, context: Mapping[str, str]) -> bool:
    """Decide one action on one ARN by the policies of a caller whose signature was checked already.

    The evaluator is the one behind SimulatePrincipalPolicy and behind the emulator's own services.
    """
    denied = _module("ministack.core.iam_evaluator").enforce(
        access_key_id,
        action,
        action.partition(":")[0],
        region,
        resource_arn=resource,
        service_context=dict(context),
    )
    return denied is None


def register_session(access_key: str, session: Mapping[str, Any]) -> None:
    """Make temporary credentials valid: Arn, UserId, SecretAccessKey, SessionToken, Expiration (epoch)."""
    _module("ministack.services.sts").register_session(access_key, dict(session))


def put_aws_event(entry: Mapping[str, Any]) -> None:
    """Publish a PutEvents entry of an `aws.*` source, which PutEvents itself refuses to callers."""
    _module("ministack.services.eventbridge")._put_events({"Entries": [dict(entry)]}, allow_aws_source=True)


def _module(path: str) -> Any:
    return importlib.import_module(path)


def _has(path: str, name: str) -> bool:
    target = _module(path)
    for part in name.split("."):
        if not hasattr(target, part):
            return False
        target = getattr(target, part)
    return True


def _header_list(headers: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """One header line per value: several cookies stay several lines."""
    lines: list[tuple[bytes, bytes]] = []
    for name, value in headers.items():
        values = value if isinstance(value, list | tuple) else [value]
        lines += [(name.encode("latin-1"), str(one).encode("utf-8")) for one in values]
    return lines
