"""What an update must never replace, as lines: each resource that holds state or whose name others know, with all that
CloudFormation answers a change of by making a new one; and the values that one stack hands to another.

`python -m tests.infra.stateful` adds what is new to `stateful.txt`. It takes no line away: what a deployed stack has
and a template lacks is lost at the next deployment, or stops it. Whoever means that edits the file, and says in
docs/deploy.md what an operator has to do before.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.infra.synthesis import Resource, Synthesized, synthesize

SNAPSHOT = Path(__file__).with_name("stateful.txt")
REGION = "us-east-1"

HELD = {
    "AWS::DynamoDB::Table": "the rentals",
    "AWS::KMS::Key": "whoever installed the authority's certificate trusts it; tokens of running containers",
    "AWS::SQS::Queue": "bells and reports on their way",
    "AWS::StepFunctions::StateMachine": "executions that wait for months",
    "AWS::Events::EventBus": "hosts know its name",
    "AWS::SSM::Document": "functions in flight know its name",
    "AWS::IAM::Role": "machines that joined took it",
    "AWS::ApiGatewayV2::Api": "hosts and clients know its address",
}
OF_FUNCTIONS = "lambda.amazonaws.com", "states.amazonaws.com"


def describe(made: Synthesized) -> set[str]:
    lines = set()
    for stack, template in made.templates.items():
        for name, resource in template["Resources"].items():
            if _holds_state(resource):
                lines |= {f"{stack} {name} {line}" for line in _identity(resource)}
        for output in template.get("Outputs", {}).values():
            if "Export" in output:
                lines.add(f"{stack} hands over {output['Export']['Name']}")
    return lines


def recorded() -> set[str]:
    return set(SNAPSHOT.read_text().splitlines())


def _holds_state(resource: Resource) -> bool:
    """A role that only functions take is replaced without anybody's notice."""
    if resource["Type"] != "AWS::IAM::Role":
        return resource["Type"] in HELD
    trusted = {each["Principal"]["Service"] for each in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]}
    return not trusted <= set(OF_FUNCTIONS)


def _identity(resource: Resource) -> Iterator[str]:
    properties = resource.get("Properties", {})
    yield resource["Type"]
    for name in sorted(_replacing(resource["Type"], properties)):
        yield f"{name} {json.dumps(properties.get(name), sort_keys=True)}"
    # The schemas do not say these: an attribute or an index that changes, what a key is for, and a document that is no
    # longer versioned.
    for part in ("AttributeDefinitions", "GlobalSecondaryIndexes"):
        for each in properties.get(part, []):
            yield f"{part} {json.dumps(each, sort_keys=True)}"
    for name in ("KeySpec", "KeyUsage"):
        if name in properties:
            yield f"{name} {properties[name]}"
    if "UpdateMethod" in properties:
        yield f"UpdateMethod {properties['UpdateMethod']}"


def _replacing(kind: str, properties: dict[str, Any]) -> set[str]:
    """The properties whose change makes a new resource, by the schemas that cfn-lint brings."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]  # loads slowly

    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    always, sometimes = (
        {path.split("/")[2] for path in schema.get(key, [])}
        for key in ("createOnlyProperties", "conditionalCreateOnlyProperties")
    )
    if properties.get("UpdateMethod") == "NewVersion":  # a document then gets its new content as a new version
        return always
    return always | sometimes


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch:
        current = describe(synthesize(Path(scratch), {"stage": "prod"}))
    if lost := recorded() - current:
        print("An update would lose:", *sorted(lost), sep="\n", file=sys.stderr)
        return 1
    SNAPSHOT.write_text("".join(f"{line}\n" for line in sorted(current)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
