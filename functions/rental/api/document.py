"""The OpenAPI 3.1 document, built from the table of operations, the models and the tree of errors."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from rental.api import answers
from rental.api.errors import every_error, meaning_of, status_of
from rental.api.limits import MAX_IDEMPOTENCY_KEY, PAGE
from rental.api.operation import TAGS, Operation, Proof
from rental.api.operations import OPERATIONS, PARAMETERS
from rental.domain.errors import RentalError

Json = dict[str, Any]

ABOUT = """\
Rent GPUs on registered machines through time-limited contracts.

Times are epoch seconds UTC, money is micro-dollars, sizes are bytes, or GiB in fields named `_gib`. A month has 730 \
hours. Ids are integers of up to 53 bits. Fields may be added to answers at any time; unknown fields in requests of \
clients and owners are refused. What is not yours answers 404.

What never reaches the service is answered by API Gateway, with a `GatewayMessage`: 400 for what is no HTTP request, \
413 for a body of more than 10 MB, 429 when too many ask at once, 431 for headers of more than 10,240 bytes, 500 and \
503 when the service could not answer at all.
"""

GATEWAY_TEXTS = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "API Gateway: the body has more than 10 MB.",
    HTTPStatus.TOO_MANY_REQUESTS: "API Gateway: too many ask at once. Send the same request again, later.",
    HTTPStatus.SERVICE_UNAVAILABLE: "API Gateway: the service did not answer. Send the same request again.",
}

SECURITY_SCHEMES = {
    Proof.API_KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of role client, host, proxy or admin: `Authorization: Bearer <key>`. An admin may do"
        " what clients and owners of hosts may, on its own account.",
    },
    Proof.MACHINE_TOKEN: {
        "type": "http",
        "scheme": "Machine",
        "description": "`Authorization: Machine <token>`: a JWT that lives at most 60 s, signed by the machine key"
        " (EdDSA), with `iss` (the host's id), `htm`, `htu` (the path), `bh` (SHA-256 of the body, base64url), `iat`"
        " and `exp`.",
    },
}


class Untitled(GenerateJsonSchema):
    """Without a title for each field: it only repeats the name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def build_document(operations: Sequence[Operation] = OPERATIONS) -> Json:
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "GPULease", "version": "1", "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": str(tag), "description": text} for tag, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {str(proof): scheme for proof, scheme in SECURITY_SCHEMES.items()},
        },
    }


def _operation(each: Operation) -> Json:
    described: Json = {"operationId": each.name, "tags": [str(each.tag)], "summary": each.summary}
    if each.details:
        described["description"] = each.details
    described["security"] = _security(each)
    if parameters := _parameters(each):
        described["parameters"] = parameters
    if each.body is not None:
        is_required = any(field.is_required() for field in each.body.model_fields.values())
        described["requestBody"] = {"required": is_required, "content": _json(_ref(each.body.__name__))}
    described["responses"] = {str(int(each.status)): _success(each), **_refusals(each.all_refusals), **_gateway(each)}
    return described


def _security(each: Operation) -> list[Json]:
    """One alternative for each role that may call it."""
    if each.proof is Proof.API_KEY:
        return [{str(each.proof): [role]} for role in (*each.roles, "admin")]
    return [{str(each.proof): []}] if each.proof is not Proof.NONE else []


def _parameters(each: Operation) -> list[Json]:
    found = [_named(name, "path") | {"required": True} for name in re.findall(r"\{(\w+)\}", each.path)]
    found += [_named(name, "query") for name in each.query]
    if each.paged:
        cursor = "Where the page before ended: its `next`. Left out, the list begins."
        limit = {"type": "integer", "minimum": 1, "maximum": PAGE, "default": PAGE}
        found.append({"name": "cursor", "in": "query", "description": cursor, "schema": {"type": "string"}})
        found.append({"name": "limit", "in": "query", "description": "At most so many items.", "schema": limit})
    if each.repeatable:
        text = "Makes the request safe to repeat: for 24 h the same key and request take effect once."
        key = {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[ -~]+$"}
        found.append({"name": "Idempotency-Key", "in": "header", "description": text, "schema": key})
    return found


def _success(each: Operation) -> Json:
    if each.answer is None:
        schema: Json = {"type": "object"} if each.media == "application/json" else {"type": "string"}
    else:
        schema = _ref(each.answer.__name__ + ("List" if each.paged else ""))
    return {"description": each.status.phrase, "content": {each.media: {"schema": schema}}}


def _refusals(kinds: Iterable[type[RentalError]]) -> Json:
    """By status, with exactly the codes that this operation can answer."""
    codes: dict[HTTPStatus, dict[str, str]] = {}
    for kind in kinds:
        codes.setdefault(status_of(kind("")), {})[kind.code] = meaning_of(kind)
    return {str(int(status)): _refusal(status, codes[status]) for status in sorted(codes)}


def _refusal(status: HTTPStatus, meanings: dict[str, str]) -> Json:
    code = {"properties": {"error": {"properties": {"code": {"enum": list(meanings)}}}}}
    text = "\n".join(f"- `{code}`: {meaning}" for code, meaning in meanings.items())
    ours = {"allOf": [_ref("Error"), code]}
    is_fault = status is HTTPStatus.INTERNAL_SERVER_ERROR
    return {"description": text, "content": _json({"anyOf": [ours, GATEWAY_MESSAGE]} if is_fault else ours)}


def _gateway(each: Operation) -> Json:
    """What API Gateway answers in the place of this operation."""
    bodiless = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE} if each.body is None else set()
    return {
        str(int(status)): {"description": text, "content": _json(GATEWAY_MESSAGE)}
        for status, text in GATEWAY_TEXTS.items()
        if status not in bodiless
    }


def _schemas(operations: Sequence[Operation]) -> Json:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (answers.Error, "serialization"),
        (answers.GatewayMessage, "serialization"),
    ]
    models += [(each.body, "validation") for each in operations if each.body is not None]
    models += [(each.answer, "serialization") for each in operations if each.answer is not None]
    _, made = models_json_schema(
        list(dict.fromkeys(models)), ref_template="#/components/schemas/{model}", schema_generator=Untitled
    )
    lists = {each.answer.__name__ for each in operations if each.paged and each.answer is not None}
    schemas: Json = made["$defs"] | {f"{name}List": _list_of(name) for name in lists}
    return {"ErrorCode": _error_codes(), **dict(sorted(schemas.items()))}


def _list_of(name: str) -> Json:
    text = "The cursor of the next page; null at the end of the list."
    following = {"anyOf": [{"type": "string"}, {"type": "null"}], "description": text}
    properties = {"items": {"type": "array", "items": _ref(name)}, "next": following}
    return {"type": "object", "title": f"{name}List", "required": ["items", "next"], "properties": properties}


def _error_codes() -> Json:
    """Every code with its status and its meaning."""
    kinds = {kind.code: kind for kind in every_error()}
    codes = [
        {"const": code, "title": str(int(status_of(kind("")))), "description": meaning_of(kind)}
        for code, kind in kinds.items()
    ]
    return {"type": "string", "description": "Stable codes of errors, each with its status.", "oneOf": codes}


def _named(name: str, place: str) -> Json:
    kind, text = PARAMETERS[name]
    return {"name": name, "in": place, "description": text, "schema": TypeAdapter(kind).json_schema()}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


GATEWAY_MESSAGE = _ref(answers.GatewayMessage.__name__)
