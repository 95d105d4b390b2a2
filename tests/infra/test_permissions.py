"""Who may do what: the text a reviewer reads, and the lines that must never appear in it."""

import ast
from fnmatch import fnmatch
from typing import Any

from infra.constructs.grants import TRACING
from infra.entrypoints import ENTRY_POINTS, On
from infra.paths import FUNCTIONS
from rental.adapters.items import (
    account_key,
    authority_key,
    contract_key,
    manifest_key,
    memo_key,
    offer_key,
    principal_key,
)
from rental.domain.ids import ContractId, HostId, OfferId
from tests.infra.permissions import SNAPSHOT, describe, render, statements
from tests.infra.synthesis import Synthesized

PUT = "dynamodb:PutItem"
ALLOWED_ON_EVERYTHING = {
    *TRACING.actions,
    *(action for entry in ENTRY_POINTS.values() for grant in entry.grants if grant.reason for action in grant.actions),
}


def _actions(statement: dict[str, Any]) -> list[str]:
    actions = statement["Action"]
    return actions if isinstance(actions, list) else [actions]


def _role_names(made: Synthesized, action: str) -> set[str]:
    return {role for role, each in statements(made) if action in _actions(each)}


def test_permissions_are_those_that_were_reviewed(proxied: Synthesized) -> None:
    assert describe(proxied) == SNAPSHOT.read_text(), "review it, then run `python -m tests.infra.permissions`"


def test_only_dispatch_may_send_commands(prod: Synthesized) -> None:
    (role,) = _role_names(prod, "ssm:SendCommand")
    assert role.startswith("DispatchRole")


def test_commands_go_through_our_document_to_nodes_of_this_stage_alone(prod: Synthesized) -> None:
    sends = [each for _, each in statements(prod) if "ssm:SendCommand" in _actions(each)]
    document, nodes = sends
    assert render(document["Resource"]).endswith("document/{Command}")
    assert "Condition" not in document
    assert render(nodes["Resource"]).endswith(":managed-instance/*")
    assert nodes["Condition"] == {"StringEquals": {"ssm:resourceTag/gpulease:stage": "prod"}}


def test_only_api_certificates_may_sign_as_the_authority(prod: Synthesized) -> None:
    uses = [(role, each) for role, each in statements(prod) if "kms:Sign" in _actions(each)]
    ((role, each),) = uses
    assert role.startswith("ApiCertificatesRole")
    assert render(each["Resource"]) == "{Authority.Arn}"
    assert _actions(each) == ["kms:GetPublicKey", "kms:Sign"]


def test_api_certificates_writes_the_authoritys_certificate_and_nothing_else(prod: Synthesized) -> None:
    (write,) = [each for role, each in statements(prod) if role.startswith("ApiCertificates") and PUT in _actions(each)]
    assert _actions(write) == [PUT]
    pattern = write["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert fnmatch(authority_key("key", "gpu.example")[0], pattern)
    others = (contract_key(ContractId(1)), manifest_key(HostId(1)), account_key("CA#"), principal_key("0" * 64))
    assert not [key for key in others if fnmatch(key[0], pattern)]


def test_no_action_is_a_wildcard(prod: Synthesized) -> None:
    assert not [action for _, each in statements(prod) for action in _actions(each) if "*" in action]


def test_a_function_has_everything_only_where_its_entry_point_says_why(prod: Synthesized) -> None:
    for role, each in statements(prod):
        if each["Resource"] == "*" and not role.startswith(("ContractRole", "Role")):
            assert set(_actions(each)) <= ALLOWED_ON_EVERYTHING, role


def test_everything_and_a_reason_go_together() -> None:
    for entry in ENTRY_POINTS.values():
        for grant in entry.grants:
            assert (grant.on is On.EVERYTHING) == bool(grant.reason), entry.name


def test_no_role_uses_a_managed_policy(prod: Synthesized) -> None:
    for name, role in prod.resources("AWS::IAM::Role").items():
        assert "ManagedPolicyArns" not in role["Properties"], name


def test_only_the_machine_has_a_policy_besides_its_roles_own(prod: Synthesized) -> None:
    (policy,) = prod.resources("AWS::IAM::Policy")
    assert policy.startswith("ContractRole")


def test_a_host_can_read_no_parameter_and_open_no_session(prod: Synthesized) -> None:
    calls = [action for role, each in statements(prod) if role == "Role1ABCC5F0" for action in _actions(each)]
    assert "events:PutEvents" in calls
    assert not [call for call in calls if "GetParameter" in call or "DataChannel" in call or call.startswith("s3:")]


def test_the_host_role_is_taken_by_systems_manager_for_this_account(prod: Synthesized) -> None:
    role = prod.resources("AWS::IAM::Role")["Role1ABCC5F0"]
    (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "ssm.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


def test_the_machine_may_invoke_the_step_function_alone(prod: Synthesized) -> None:
    invokes = [(role, each) for role, each in statements(prod) if "lambda:InvokeFunction" in _actions(each)]
    ((role, each),) = invokes
    assert role.startswith("ContractRole")
    assert render(each["Resource"]) == "{StepLive}"


def test_the_authorizer_reads_api_keys_and_nothing_else(prod: Synthesized) -> None:
    """The local cloud does not enforce this condition, so it is held against the keys themselves."""
    (read,) = [each for role, each in statements(prod) if role.startswith("Authorizer") and "dynamodb" in str(each)]
    assert read["Action"] == "dynamodb:GetItem"
    pattern = read["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert fnmatch(principal_key("0" * 64)[0], pattern)
    others = (contract_key(ContractId(1)), manifest_key(HostId(1)), account_key("K"), memo_key("K", "K#"))
    assert not [key for key in others if fnmatch(key[0], pattern)]


def test_only_api_accounts_may_write_keys_and_accounts(prod: Synthesized) -> None:
    """Nor does it enforce this one. What the denial would hit is used by the store of accounts and keys alone."""
    denials = {role: each for role, each in statements(prod) if each["Effect"] == "Deny"}
    writing = {
        role
        for role, each in statements(prod)
        if PUT in _actions(each) and "Rentals" in render(each["Resource"]) and "Condition" not in each
    }
    (unhindered,) = writing - denials.keys()
    assert unhindered.startswith("ApiAccountsRole")
    for denial in denials.values():
        assert set(_actions(denial)) == {PUT, "dynamodb:DeleteItem"}
        patterns = denial["Condition"]["ForAnyValue:StringLike"]["dynamodb:LeadingKeys"]
        hit = (principal_key("0" * 64), account_key("acme"))
        assert all(any(fnmatch(key[0], pattern) for pattern in patterns) for key in hit)
        others = (contract_key(ContractId(1)), manifest_key(HostId(1)), memo_key("A", "A#"), offer_key(OfferId(1)))
        assert not [key for key in others for pattern in patterns if fnmatch(key[0], pattern)]


def test_nothing_else_in_the_service_writes_what_is_denied() -> None:
    writers = {"account_item", "api_key_item", "account_key"}
    for source in FUNCTIONS.rglob("*.py"):
        imported = {
            alias.name
            for node in ast.walk(ast.parse(source.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert source.name == "access_store.py" or not imported & writers, source
        assert source.name == "wiring.py" or "ItemAccessStore" not in imported, source
        at_rings = source.name in ("store.py", "ports.py", "ssh_keys.py")
        assert at_rings or "put_key_ring" not in source.read_text(), source
    using = [source.stem for source in FUNCTIONS.glob("handlers/*.py") if "wiring.access_store" in source.read_text()]
    assert using == ["api_accounts"]
    using = [source.stem for source in FUNCTIONS.glob("handlers/*.py") if "service.ssh_keys" in source.read_text()]
    assert using == ["api_accounts"]
