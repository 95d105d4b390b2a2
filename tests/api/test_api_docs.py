"""docs/api.md leaves nothing out: routes, codes, fields."""

import re
from pathlib import Path

import pytest

from infra.routes import ROUTES, Route
from rental.api import answers
from rental.api.errors import every_error, status_of
from rental.api.operation import Proof
from rental.api.operations import OPERATIONS
from rental.api.schemas import OpenContract, RegistryLogin
from rental.domain.errors import RentalError
from rental.domain.lifecycle import ContractStatus, Desired

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
SECTIONS = {part.partition("\n")[0].strip("# "): part for part in re.split(r"^(?=##)", TEXT, flags=re.MULTILINE)}


def named(section: str) -> set[str]:
    """What stands in `code` in a section."""
    return set(re.findall(r"`([^`\n]+)`", SECTIONS[section]))


@pytest.mark.parametrize("route", ROUTES, ids=lambda each: f"{each.method} {each.path}")
def test_every_route_is_told(route: Route) -> None:
    assert f"`{route.method} {route.path}` |" in TEXT


def test_no_route_is_told_that_does_not_exist() -> None:
    told = set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", TEXT, flags=re.MULTILINE))
    assert told == {f"{route.method} {route.path}" for route in ROUTES}


def test_who_may_call_is_told_as_it_is() -> None:
    for each in OPERATIONS:
        if each.proof is Proof.API_KEY:
            assert f"`{each.method} {each.path}` | {', '.join(each.roles) or 'admin'} |" in TEXT


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_every_error_code_is_told_with_its_status(kind: type[RentalError]) -> None:
    assert f"| {int(status_of(kind('')))} | `{kind.code}` |" in SECTIONS["Errors"]


def test_every_field_of_a_rental_is_told() -> None:
    assert {*OpenContract.model_fields, *RegistryLogin.model_fields} <= named("To rent")


def test_every_field_and_status_of_a_contract_is_told() -> None:
    models = (answers.Contract, answers.ContractGpu, answers.ContractSshKey, answers.Share, answers.Instance)
    fields = {field for model in models for field in model.model_fields}
    assert {*fields, *ContractStatus, *Desired} <= named("A contract")
