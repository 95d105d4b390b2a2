"""The key of JupyterLab's tokens: one that only makes and verifies, kept as the tables are, used by one function."""

from tests.infra.permissions import render, statements
from tests.infra.synthesis import Resource, Synthesized

ALIAS = "alias/gpulease-prod-tokens"


def token_key(made: Synthesized) -> Resource:
    (found,) = [
        each for each in made.resources("AWS::KMS::Key").values() if each["Properties"]["KeySpec"] == "HMAC_256"
    ]
    return found


def test_the_key_makes_tokens_and_does_nothing_else(prod: Synthesized) -> None:
    properties = token_key(prod)["Properties"]
    assert properties["KeyUsage"] == "GENERATE_VERIFY_MAC"
    assert properties["PendingWindowInDays"] == 30


def test_production_keeps_it_whatever_happens_to_its_stack(prod: Synthesized, local: Synthesized) -> None:
    kept, dropped = token_key(prod), token_key(local)
    assert kept["DeletionPolicy"] == kept["UpdateReplacePolicy"] == "Retain"
    assert dropped["DeletionPolicy"] == "Delete"


def test_operators_find_it_by_name(prod: Synthesized) -> None:
    assert ALIAS in [each["Properties"]["AliasName"] for each in prod.resources("AWS::KMS::Alias").values()]


def test_one_function_may_make_tokens_and_nobody_may_do_more_with_the_key(prod: Synthesized) -> None:
    using = [(role, each["Action"]) for role, each in statements(prod) if "TokenKey" in render(each["Resource"])]
    ((role, action),) = using
    assert role.startswith("ApiContractsRole")
    assert action == "kms:GenerateMac"


def test_the_key_belongs_to_the_account_alone(prod: Synthesized) -> None:
    (statement,) = token_key(prod)["Properties"]["KeyPolicy"]["Statement"]
    assert "root" in str(statement["Principal"]["AWS"])
    assert set(statement["Principal"]) == {"AWS"}
