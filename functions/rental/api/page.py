"""The OpenAPI document as one page to read: plain HTML without scripts, made from the document alone."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

from rental.api.page_style import STYLE

Json = dict[str, Any]

CODE = re.compile(r"`([^`]+)`")
BOUNDS = {
    "minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters", "maxLength": "at most {} characters", "minItems": "at least {} items",
    "maxItems": "at most {} items", "pattern": "as {}", "default": "{} if left out",
}  # fmt: skip


def render_page(document: Json) -> str:
    info, schemas = document["info"], document["components"]["schemas"]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(info["title"])} API</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the operations</a>
<header>
<h1>{escape(info["title"])} API</h1>
{"".join(f"<p>{_text(line)}</p>" for line in info["description"].splitlines() if line)}
<p>This page as <a href="/v1/openapi.json">OpenAPI {document["openapi"]}</a>.</p>
</header>
<nav aria-label="Contents">{_contents(document)}</nav>
<main id="main">
<section><h2 id="access">Access</h2>{_access(document["components"]["securitySchemes"])}</section>
{"".join(_chapter(document, tag) for tag in document["tags"])}
<section><h2 id="errors">Errors</h2>{_errors(schemas["ErrorCode"])}</section>
<section><h2 id="schemas">Schemas</h2>
{"".join(_schema(name, schema) for name, schema in schemas.items() if name != "ErrorCode")}</section>
</main>
</body>
</html>
"""


def _contents(document: Json) -> str:
    parts = []
    for tag in document["tags"]:
        links = "".join(
            f'<li><a href="#{each["operationId"]}">{_route(method, path)}</a></li>'
            for method, path, each in _operations(document, tag["name"])
        )
        parts.append(f"<h2>{escape(tag['name'])}</h2><ul>{links}</ul>")
    chapters = "".join(f'<li><a href="#{name.lower()}">{name}</a></li>' for name in ("Access", "Errors", "Schemas"))
    return "".join(parts) + f"<h2>Reference</h2><ul>{chapters}</ul>"


def _access(schemes: Json) -> str:
    rows = ((f"<code>{escape(name)}</code>", _text(each["description"])) for name, each in schemes.items())
    return f"<article>{_table(('Scheme', 'How'), rows)}</article>"


def _chapter(document: Json, tag: Json) -> str:
    operations = "".join(_operation(*each) for each in _operations(document, tag["name"]))
    return f"<section><h2>{escape(tag['name'])}</h2><p>{_text(tag['description'])}</p>{operations}</section>"


def _operations(document: Json, tag: str) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, each in methods.items():
            if tag in each["tags"]:
                yield method, path, each


def _operation(method: str, path: str, each: Json) -> str:
    parts = [f'<h3 id="{each["operationId"]}">{_route(method, path)}</h3><p>{_text(each["summary"])}</p>']
    if "description" in each:
        parts.append(f"<p>{_text(each['description'])}</p>")
    parts.append(f'<p class="quiet">{_callers(each["security"])}</p>')
    if "parameters" in each:
        rows = (
            (f"<code>{escape(one['name'])}</code>", one["in"], _type(one["schema"]), _text(one["description"]))
            for one in each["parameters"]
        )
        parts.append("<h4>Parameters</h4>" + _table(("Name", "In", "Type", "Meaning"), rows))
    if "requestBody" in each:
        is_required = "" if each["requestBody"]["required"] else ", may be left out"
        parts.append(f"<h4>Body{is_required}</h4><p>{_content(each['requestBody'])}</p>")
    answers = (_response(status, response) for status, response in each["responses"].items())
    parts.append("<h4>Answers</h4>" + _table(("Status", "Body"), answers))
    return f"<article>{''.join(parts)}</article>"


def _callers(security: list[Json]) -> str:
    if not security:
        return "Needs no key."
    roles = [role for alternative in security for role in alternative.get("api_key", ())]
    return f"Needs a key of role {' or '.join(roles)}." if roles else "Needs a machine token."


def _response(status: str, response: Json) -> tuple[str, str]:
    _, content = next(iter(response["content"].items()))
    schema = content["schema"]
    refused = schema.get("anyOf", [schema])[0].get("allOf")
    if refused is None:
        is_success = status.startswith("2")
        return f"<strong>{status}</strong>" if is_success else status, _content(response)
    codes = refused[1]["properties"]["error"]["properties"]["code"]["enum"]
    return status, ", ".join(f'<a href="#error-{code}"><code>{code}</code></a>' for code in codes)


def _errors(codes: Json) -> str:
    shape = '<p>Every error is an <a href="#Error">Error</a>. Decide by its <code>code</code>.</p>'
    rows = (
        (f'<code id="error-{each["const"]}">{each["const"]}</code>', each["title"], _text(each["description"]))
        for each in codes["oneOf"]
    )
    return f"<article>{shape}{_table(('Code', 'Status', 'Meaning'), rows)}</article>"


def _schema(name: str, schema: Json) -> str:
    parts = [f'<h3 id="{name}"><code>{name}</code></h3>']
    if "description" in schema:
        parts.append(f"<p>{_text(schema['description'])}</p>")
    if "properties" in schema:
        required = schema.get("required", ())
        rows = (
            (f"<code>{field}</code>{'' if field in required else ' (optional)'}", *_field(each))
            for field, each in schema["properties"].items()
        )
        parts.append(_table(("Field", "Type", "Meaning"), rows))
    else:
        parts.append(f"<p>{_type(schema)}</p>")
    for example in schema.get("examples", ()):
        parts.append(f"<h4>Example</h4><pre><code>{escape(json.dumps(example, indent=2))}</code></pre>")
    return f"<article>{''.join(parts)}</article>"


def _field(schema: Json) -> tuple[str, str]:
    return _type(schema), _text(schema.get("description", ""))


def _type(schema: Json) -> str:
    """The type in words, with its bounds, and links to what it consists of."""
    match schema:
        case {"$ref": str(ref)}:
            name = ref.rpartition("/")[2]
            words = f'<a href="#{name}">{name}</a>'
        case {"anyOf": list(kinds)}:
            words = " or ".join(map(_type, kinds))
        case {"const": value}:
            words = f"<code>{escape(json.dumps(value))}</code>"
        case {"enum": list(values)}:
            words = " | ".join(f"<code>{escape(str(value))}</code>" for value in values)
        case {"type": "array", "items": items}:
            words = f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(values)}:
            words = f"map to {_type(values)}"
        case _:
            words = escape(str(schema.get("type", "anything")))
    bounds = [
        text.format(f"<code>{escape(json.dumps(schema[name]).strip(chr(34)) or 'empty')}</code>")
        for name, text in BOUNDS.items()
        if schema.get(name) is not None
    ]
    return f"{words} <span class=quiet>({', '.join(bounds)})</span>" if bounds else words


def _content(holder: Json) -> str:
    media, content = next(iter(holder["content"].items()))
    return _type(content["schema"]) if media == "application/json" else escape(media)


def _table(heads: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    """The first cell of a row names it."""
    head = "".join(f'<th scope="col">{each}</th>' for each in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{each}</td>" for each in rest)}</tr>' for first, *rest in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _route(method: str, path: str) -> str:
    return f'<code><b class="{method}">{method.upper()}</b> {escape(path)}</code>'


def _text(text: str) -> str:
    """Prose with `code` in it."""
    return CODE.sub(r"<code>\1</code>", escape(text))
