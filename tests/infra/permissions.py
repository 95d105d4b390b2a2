"""Every role's permissions as text that a person can review, with proxies' among them.

`python -m tests.infra.permissions` writes `permissions.txt` anew; the change belongs into the review of its cause.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.infra.synthesis import PROXIED, Synthesized, synthesize

SNAPSHOT = Path(__file__).with_name("permissions.txt")
# An asset is named after its content; who may read it does not change with it.
ASSET = re.compile(r"\b[0-9a-f]{64}\b")


def describe(made: Synthesized) -> str:
    roles = made.resources("AWS::IAM::Role")
    attached = made.resources("AWS::IAM::Policy")
    parts = []
    for name, role in sorted(roles.items()):
        policies = [policy["PolicyDocument"] for policy in role["Properties"].get("Policies", [])]
        policies += [
            policy["Properties"]["PolicyDocument"]
            for policy in attached.values()
            if {"Ref": name} in policy["Properties"]["Roles"]
        ]
        trust = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        lines = [_plain(name), *(f"  taken by {each['Principal']['Service']}" for each in trust)]
        lines += [line for policy in policies for each in policy["Statement"] for line in _statement(each)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _statement(statement: dict[str, Any]) -> Iterator[str]:
    actions = _listed(statement["Action"])
    yield f"  {statement['Effect'].lower()} {', '.join(actions)}"
    for resource in _listed(statement["Resource"]):
        yield f"      on {ASSET.sub('{Asset}', render(resource))}"
    for operator, keys in statement.get("Condition", {}).items():
        for key, value in keys.items():
            yield f"      if {key} {operator} {render(value)}"


def statements(made: Synthesized) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement of each role, with the logical id of what it belongs to."""
    for name, role in made.resources("AWS::IAM::Role").items():
        for policy in role["Properties"].get("Policies", []):
            yield from ((name, each) for each in policy["PolicyDocument"]["Statement"])
    for policy in made.resources("AWS::IAM::Policy").values():
        for role in policy["Properties"]["Roles"]:
            yield from ((role["Ref"], each) for each in policy["Properties"]["PolicyDocument"]["Statement"])


def render(value: Any) -> str:
    """CloudFormation's functions in one line: `{Name}` stands for what that resource turns out to be."""
    match value:
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(render(part) for part in parts)
        case {"Ref": str(name)}:
            return "{" + _plain(name.removeprefix("AWS::")) + "}"
        case {"Fn::GetAtt": [str(name), str(attribute)]}:
            return "{" + f"{_plain(name)}.{attribute}" + "}"
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\$\{AWS::(\w+)\}", r"{\1}", text)
        case {"Fn::ImportValue": str(name)}:
            exported = re.sub(r"^(Ref|FnGetAtt)|[0-9A-F]{8}$", "", name.rpartition("ExportsOutput")[2])
            return "{" + re.sub(r"[0-9A-F]{8}(?=Arn$|$)", ".", exported).rstrip(".") + "}"
    return str(value)


def _plain(logical_id: str) -> str:
    """Without the hash that the CDK appends."""
    return re.sub(r"[0-9A-F]{8}$", "", logical_id)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        SNAPSHOT.write_text(describe(synthesize(Path(scratch), PROXIED)))
