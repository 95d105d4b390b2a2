"""Certificates of notebooks on the host: had before a start, renewed for the last third of their life, never half."""

from __future__ import annotations

import io
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gpulease_host.api import ApiError, ApiRefusedError, ApiUnreachableError
from gpulease_host.backoff import Backoff
from gpulease_host.engine import Order
from gpulease_host.launch.certificates import Certificates
from gpulease_host.launch.instance_files import InstanceFiles, files_of
from gpulease_host.launch.tls import CertificateError, Request, authority_of, check
from gpulease_host.log import Log
from gpulease_host.machine_key import MachineKey
from gpulease_host.toolkit import layout
from tests.host.fakes import FakeApi, FakeClock
from tests.host.notary import LIFE_S, Notary
from tests.host.orders import order

DAY_S = 86_400
AWAY = ApiUnreachableError("the API does not answer")
REFUSED = ApiRefusedError(409, "conflict", "The host asks from elsewhere.")


@dataclass
class Desk:
    folder: Path

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.api = FakeApi(MachineKey.generate(), Notary(self.clock))
        self.log = io.StringIO()
        backoff = Backoff(60.0, 3600.0, lambda: 1.0)
        self.certificates = Certificates(
            self.folder, self.api, self.clock, self.clock, backoff, Log(self.log, self.clock)
        )

    @property
    def files(self) -> InstanceFiles:
        return files_of(self.folder, 11)

    def look(self, after_s: float = 0.0, wanted: Order | None = None) -> None:
        self.clock.sleep(after_s)
        self.certificates.renew([wanted or notebook()])


def notebook(**changes: Any) -> Order:
    return replace(order(), mode="jupyter", **changes)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_before_a_start_there_is_one_of_a_key_that_the_host_made(desk: Desk) -> None:
    assert desk.certificates.why_not_ready(notebook()) is None
    assert desk.files.tls is not None
    assert check(desk.files.tls).ends_at == desk.clock() + LIFE_S
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(desk.files.inside / layout.CERTIFICATE_FILE, desk.files.inside / layout.TLS_KEY_FILE)
    assert authority_of(desk.files.tls.certificate.decode()) == desk.api.authority.certificate


def test_a_start_after_that_asks_nobody(desk: Desk) -> None:
    for _ in range(2):
        assert desk.certificates.why_not_ready(notebook()) is None
    assert len(desk.api.certified) == 1


@pytest.mark.parametrize("mode", ["args", "ssh"])
def test_other_modes_need_none(desk: Desk, mode: str) -> None:
    assert desk.certificates.why_not_ready(replace(order(), mode=mode)) is None
    desk.look(wanted=replace(order(), mode=mode))
    assert desk.api.certified == []


@pytest.mark.parametrize("error", [AWAY, REFUSED], ids=["away", "refused"])
def test_a_start_without_one_waits_and_says_why(desk: Desk, error: ApiError) -> None:
    desk.api.certificate_error = error
    assert desk.certificates.why_not_ready(notebook()) == f"Waits for its certificate: {error}"
    desk.api.certificate_error = None
    assert desk.certificates.why_not_ready(notebook()) is None


def test_a_start_goes_on_with_one_that_is_near_its_end_and_not_with_one_that_is_past_it(desk: Desk) -> None:
    desk.certificates.why_not_ready(notebook())
    desk.api.certificate_error = AWAY
    desk.clock.sleep(LIFE_S - 1)
    assert desk.certificates.why_not_ready(notebook()) is None
    desk.clock.sleep(1)
    assert "Waits for its certificate" in (desk.certificates.why_not_ready(notebook()) or "")


def test_it_is_renewed_with_another_key_after_twenty_days_and_not_before(desk: Desk) -> None:
    desk.certificates.why_not_ready(notebook())
    before = desk.files.tls
    desk.look(20 * DAY_S - 1)
    assert desk.files.tls == before
    desk.look(1)
    after = desk.files.tls
    assert before is not None
    assert after is not None
    assert after.key != before.key
    assert check(after).ends_at == desk.clock() + LIFE_S
    desk.look(60)
    assert len(desk.api.certified) == 2
    assert "certificate renewed" in desk.log.getvalue()


def test_one_that_cannot_be_decoded_is_replaced(desk: Desk) -> None:
    desk.certificates.why_not_ready(notebook())
    (desk.files.inside / layout.CERTIFICATE_FILE).write_bytes(b"\xff\xfe")
    desk.look()
    assert desk.files.tls is not None
    assert check(desk.files.tls).ends_at == desk.clock() + LIFE_S


@pytest.mark.parametrize("name", [layout.CERTIFICATE_FILE, layout.TLS_KEY_FILE])
def test_one_that_can_be_neither_read_nor_replaced_is_said_and_tried_again_later(desk: Desk, name: str) -> None:
    desk.certificates.why_not_ready(notebook())
    (desk.files.inside / name).unlink()
    (desk.files.inside / name).mkdir()
    desk.look()
    assert desk.log.getvalue().count("certificate not renewed") == 1
    assert "Waits for its certificate" in (desk.certificates.why_not_ready(notebook()) or "")
    (desk.files.inside / name).rmdir()
    desk.look(3600)
    assert desk.files.tls is not None


def test_a_renewal_that_fails_keeps_what_is_there_and_is_tried_again_less_and_less_often(desk: Desk) -> None:
    desk.certificates.why_not_ready(notebook())
    before = desk.files.tls
    desk.api.certificate_error = AWAY
    desk.clock.sleep(20 * DAY_S)
    for _ in range(24 * 60):
        desk.look(60)
    tries = len(desk.api.certified) - 1
    assert 24 <= tries <= 24 + 7
    assert desk.files.tls == before
    assert "certificate not renewed" in desk.log.getvalue()
    desk.api.certificate_error = None
    desk.look(3600)
    assert desk.files.tls != before


def test_the_renewal_is_asked_for_the_generation_that_runs_now(desk: Desk) -> None:
    desk.certificates.why_not_ready(notebook())
    desk.look(21 * DAY_S, notebook(generation=4))
    assert desk.api.certified[-1].generation == 4


def test_what_was_removed_meanwhile_is_not_made_again(desk: Desk) -> None:
    desk.certificates.why_not_ready(notebook())
    desk.files.remove()
    desk.look()
    assert not desk.files.folder.exists()


def damage_key(files: InstanceFiles) -> None:
    """As after a crash between the two files."""
    (files.inside / layout.TLS_KEY_FILE).write_bytes(Notary().files(11).key)


@pytest.mark.parametrize(
    "damage",
    [
        damage_key,
        lambda files: (files.inside / layout.TLS_KEY_FILE).unlink(),
        lambda files: (files.inside / layout.CERTIFICATE_FILE).write_text("half"),
        lambda files: (files.inside / layout.CERTIFICATE_FILE).write_text(""),
    ],
)
def test_one_that_cannot_be_used_is_replaced(desk: Desk, damage: Callable[[InstanceFiles], object]) -> None:
    desk.certificates.why_not_ready(notebook())
    damage(desk.files)
    desk.look()
    assert desk.files.tls is not None
    assert check(desk.files.tls).ends_at == desk.clock() + LIFE_S


def of_another_key(desk: Desk) -> Any:
    return {"v": 1, "certificate": desk.api.authority.sign(11, Request().csr())}


@pytest.mark.parametrize(
    "answer",
    [
        of_another_key,
        lambda _: {"v": 1, "certificate": "x"},
        lambda _: {"v": 1, "certificate": 5},
        lambda desk: {"v": 1, "certificate": desk.api.authority.certificate},
        lambda desk: {"v": 2, "certificate": desk.api.authority.certificate},
        lambda _: [],
    ],
)
def test_an_answer_that_is_no_certificate_of_the_key_is_not_kept(desk: Desk, answer: Callable[[Desk], Any]) -> None:
    desk.api.certificate_answer = answer(desk)
    assert "Waits for its certificate" in (desk.certificates.why_not_ready(notebook()) or "")
    assert desk.files.tls is None


def test_the_request_names_nothing_and_is_signed_with_its_own_key() -> None:
    request = Request()
    csr = x509.load_pem_x509_csr(request.csr().encode())
    assert csr.is_signature_valid
    assert list(csr.subject) == []
    assert list(csr.extensions) == []
    assert isinstance(request.key.curve, ec.SECP256R1)


def test_a_certificate_of_another_authority_than_the_one_behind_it_is_refused() -> None:
    request, one, other = Request(), Notary(), Notary()
    leaf = one.sign(11, request.csr()).removesuffix(one.certificate)
    with pytest.raises(CertificateError):
        request.files(leaf + other.certificate)


def test_the_key_shows_in_no_repr() -> None:
    assert "PRIVATE" not in repr(Notary().files(11))
