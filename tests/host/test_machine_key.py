"""The machine key: its file, its signatures, and what is sealed to it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gpulease_host.machine_key import MachineKey, MachineKeyError, from_b64, to_b64
from rental.adapters.sealing import HpkeSealer
from rental.domain.host import MachineKey as PublicKey
from rental.domain.ids import ContractId
from tests.host.fakes import seal
from tests.host.orders import HOST_ID, NOW


def test_a_saved_key_is_the_same_key_and_only_root_reads_it(tmp_path: Path) -> None:
    key = MachineKey.generate()
    key.save(tmp_path / "machine.key")
    assert (tmp_path / "machine.key").stat().st_mode & 0o777 == 0o600
    assert MachineKey.load(tmp_path / "machine.key").key_id == key.key_id
    assert key.key_id == hashlib.sha256(key.signing_public + key.sealing_public).hexdigest()[:16]


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    MachineKey.generate().save(tmp_path / "machine.key")
    (tmp_path / "machine.key").chmod(0o640)
    with pytest.raises(MachineKeyError, match="0600"):
        MachineKey.load(tmp_path / "machine.key")


@pytest.mark.parametrize("content", ["", "{}", '{"signing": "AA", "sealing": "AA"}', "[]"])
def test_a_damaged_key_is_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / "machine.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(MachineKeyError, match="cannot be read as a machine key"):
        MachineKey.load(path)


def test_the_private_halves_are_in_no_repr(tmp_path: Path) -> None:
    key = MachineKey.generate()
    key.save(tmp_path / "machine.key")
    stored = json.loads((tmp_path / "machine.key").read_text())
    assert stored["signing"] not in repr(key)
    assert stored["sealing"] not in repr(key)
    assert "Private" not in repr(key)


def test_a_request_is_bound_to_who_when_path_and_body() -> None:
    key = MachineKey.generate()
    token = key.sign_request(HOST_ID, "POST", "/v1/host/fetch", b"{}", NOW)
    assert jwt.get_unverified_header(token)["kid"] == key.key_id
    public = Ed25519PublicKey.from_public_bytes(key.signing_public)
    claims = jwt.decode(token, public, algorithms=["EdDSA"], options={"verify_exp": False, "verify_iat": False})
    assert len(claims.pop("jti")) >= 16
    assert claims == {
        "iss": "7",
        "iat": NOW,
        "exp": NOW + 60,
        "htm": "POST",
        "htu": "/v1/host/fetch",
        "bh": to_b64(hashlib.sha256(b"{}").digest()),
    }


def test_what_is_sealed_opens_only_for_its_contract_and_machine() -> None:
    key = MachineKey.generate()
    sealed = seal(key, 456, b"hush")
    assert key.unseal(sealed, 456) == b"hush"
    for other, contract_id in ((key, 457), (MachineKey.generate(), 456)):
        with pytest.raises(MachineKeyError):
            other.unseal(sealed, contract_id)
    *kept, last = from_b64(sealed)
    for damaged in ("", "!", sealed[:-8], to_b64(bytes([*kept, last ^ 1]))):
        with pytest.raises(MachineKeyError):
            key.unseal(damaged, 456)


def test_what_the_control_plane_seals_opens_here() -> None:
    """Both sides of one form, which no schema can hold together."""
    key = MachineKey.generate()
    public = PublicKey(key.key_id, to_b64(key.signing_public), to_b64(key.sealing_public))
    sealed = HpkeSealer().seal(public, ContractId(456), b"hush")
    assert sealed.key_id == key.key_id
    assert key.unseal(sealed.ciphertext, 456) == b"hush"
