"""KMS keys of templates are the same after every start of the emulator, whatever they are for."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.local.test_emulator import in_the_clouds_environment

SIGNING = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
KINDS = [
    (SIGNING, "_get_public_key", {}, "PublicKey"),
    (
        {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        "_generate_mac",
        {"Message": "aGVsbG8=", "MacAlgorithm": "HMAC_SHA_256"},
        "Mac",
    ),
    ({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}, "_get_public_key", {}, "PublicKey"),
]
START = """
import json, sys
from pathlib import Path
from local.cloud import emulator, kms_keys
emulator.check_private_names()
properties, operation, question, field = json.loads({asked!r})
keys = kms_keys.KmsKeys(Path({path!r}))
kms_keys.register(keys)
provisioners = emulator._module("ministack.services.cloudformation.provisioners")
create = provisioners._RESOURCE_HANDLERS["AWS::KMS::Key"]["create"]
key_id, attributes = create("Key", properties, "Stack")
kms = emulator._module("ministack.services.kms")
_status, _headers, answer = getattr(kms, operation)({{"KeyId": key_id, **question}})
print(json.dumps([key_id, attributes["Arn"], json.loads(answer)[field]]))
"""


def start(tmp_path: Path, name: str, *asked: Any) -> tuple[int, str, str]:
    """A fresh emulator makes the key of a template and is asked something that only its material can answer."""
    state = tmp_path / name
    state.mkdir()
    code = START.format(asked=json.dumps(asked), path=str(tmp_path / "kms.json"))
    done = in_the_clouds_environment(code, state)
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize("kind", KINDS, ids=lambda each: str(each[0]["KeySpec"]))
def test_a_key_comes_back_with_its_id_and_its_material(tmp_path: Path, kind: Any) -> None:
    (first, told, fault), (again, told_again, _) = (start(tmp_path, name, *kind) for name in ("first", "again"))
    assert (first, again) == (0, 0), fault
    assert told == told_again
    assert all(json.loads(told))


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    start(tmp_path, "first", *KINDS[0])
    assert stat.S_IMODE((tmp_path / "kms.json").stat().st_mode) == 0o600


def test_a_key_of_a_forgotten_state_is_another(tmp_path: Path) -> None:
    _, told, _ = start(tmp_path, "first", *KINDS[0])
    (tmp_path / "kms.json").unlink()
    _, other, _ = start(tmp_path, "again", *KINDS[0])
    assert told != other


def test_a_template_that_makes_something_else_of_a_key_is_refused_and_the_key_kept(tmp_path: Path) -> None:
    _, told, _ = start(tmp_path, "first", *KINDS[0])
    failed, _, fault = start(tmp_path, "changed", *KINDS[1])
    assert failed
    assert "KeySpec cannot be changed" in fault
    assert start(tmp_path, "again", *KINDS[0])[1] == told
