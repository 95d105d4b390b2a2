"""docs/deploy.md has every stage setting with its values, every variable of a function, and every output."""

import re
from dataclasses import asdict

import jmespath  # type: ignore[import-untyped]  # it comes with boto3
import pytest

from infra.config import FIXED, OVERRIDABLE, STAGES
from infra.entrypoints import ENTRY_POINTS, EVERYWHERE
from infra.watches import WATCHES
from rental.domain.access import Role
from rental.domain.refusal import Why
from tests.docs.pages import DOCUMENTS, ROOT, page, table

DEPLOY = "docs/deploy.md"


def _as_written(value: object) -> str:
    if value is None:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_stands_there_with_its_values_and_no_other() -> None:
    written = {setting: cells[:3] for setting, cells in table(DEPLOY, "setting").items()}
    stages = [asdict(STAGES[name]) for name in ("prod", "dev", "local")]
    assert written == {
        setting: [_as_written(stage[setting]) for stage in stages] for setting in stages[0] if setting != "name"
    }


def test_every_setting_says_what_it_means_and_whether_it_is_fixed() -> None:
    for setting, (*_, meaning) in table(DEPLOY, "setting").items():
        assert meaning
        assert ("cannot be overridden" in meaning) == (setting in FIXED), setting


def test_every_variable_of_a_function_says_who_is_told() -> None:
    told: dict[str, set[str]] = {name: {"all"} for name in EVERYWHERE}
    for entry in ENTRY_POINTS.values():
        for name in entry.env:
            told.setdefault(name, set()).add(entry.name)
    assert {name: set(cells[-1].split(", ")) for name, cells in table(DEPLOY, "variable").items()} == told


def test_every_output_stands_there_with_its_stack() -> None:
    outputs = {
        name: source.stem.capitalize()
        for source in (ROOT / "infra/stacks").glob("*.py")
        for name in re.findall(r'CfnOutput\(self, "(\w+)"', source.read_text())
    }
    assert outputs
    assert {name: cells[0] for name, cells in table(DEPLOY, "output").items()} == outputs


def test_every_alarm_stands_there_with_what_to_do_and_no_other() -> None:
    rows = table(DEPLOY, "alarm")
    assert list(rows) == [watch.what for watch in WATCHES]
    assert all(len(what_to_do) > 20 for (what_to_do,) in rows.values())


def test_every_reason_of_a_refusal_stands_there_and_no_other() -> None:
    assert set(table(DEPLOY, "why")) == set(Why)


@pytest.mark.parametrize("role", Role)
def test_every_role_is_named(role: str) -> None:
    assert f"`{role}`" in page(DEPLOY)


def test_one_version_of_the_cdks_command_line_is_named() -> None:
    assert len({found for each in DOCUMENTS for found in re.findall(r"aws-cdk@([\d.]+\d)", each.read_text())}) == 1


# What `aws-cdk@2.1148.1 <command> --help` lists of these; it ignores with a warning what it does not know.
CDK_OPTIONS = {"bootstrap": {"-c"}, "deploy": {"--all", "-c"}, "destroy": {"--all", "-c"}, "diff": {"-c"}, "ls": {"-c"}}


def test_every_command_of_the_cdk_has_options_that_it_knows_and_settings_that_exist() -> None:
    commands = re.findall(r"npx aws-cdk@[\d.]+ +([^\n`#]+)", page(DEPLOY))
    assert len(commands) >= 7
    for command in commands:
        name, *words = command.split()
        assert {word for word in words if word.startswith("-")} <= CDK_OPTIONS[name], command
        for setting in re.findall(r"-c (\w+)=", command):
            assert setting in ("stage", *OVERRIDABLE), command


def test_every_query_of_the_aws_command_line_is_one() -> None:
    queries = re.findall(r'--query \\?\s*"([^"]+)"', page(DEPLOY))
    outputs = {"Stacks": [{"Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "found"}]}]}
    function = {"ResourceType": "AWS::Lambda::Function", "LogicalResourceId": "SweepFunctionA77"}
    resources = {"StackResourceSummaries": [{**function, "PhysicalResourceId": "found"}]}
    assert [jmespath.search(query, outputs | resources) for query in queries] == ["found", "found"]
