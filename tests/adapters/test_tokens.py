"""Tokens by both twins: the same each time, another for each contract, and nothing that has to be kept."""

import re

import boto3
import pytest

from rental.adapters.kms_tokens import KmsTokens
from rental.adapters.memory.tokens import MemoryTokens
from rental.domain.ids import ContractId
from rental.ports import TokenMaker
from tests.fakes.kms import create_token_key


@pytest.fixture(params=["memory", "kms"])
def tokens(request: pytest.FixtureRequest) -> TokenMaker:
    if request.param == "memory":
        return MemoryTokens(b"key")
    request.getfixturevalue("aws")
    client = boto3.client("kms")
    return KmsTokens(client, create_token_key(client))


def test_a_contract_has_one_token(tokens: TokenMaker) -> None:
    assert tokens.jupyter_token(ContractId(100)) == tokens.jupyter_token(ContractId(100))


def test_each_contract_has_another(tokens: TokenMaker) -> None:
    assert len({tokens.jupyter_token(ContractId(each)) for each in range(50)}) == 50


def test_a_token_is_what_hosts_take(tokens: TokenMaker) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", tokens.jupyter_token(ContractId((1 << 53) - 1)))


def test_another_key_makes_other_tokens(aws: None) -> None:
    client = boto3.client("kms")
    first, second = (KmsTokens(client, create_token_key(client)) for _ in range(2))
    assert first.jupyter_token(ContractId(100)) != second.jupyter_token(ContractId(100))
    assert MemoryTokens(b"a").jupyter_token(ContractId(1)) != MemoryTokens(b"b").jupyter_token(ContractId(1))
    assert "secret" not in repr(MemoryTokens(b"secret"))
