"""Asking the API: signed, bound to the body, and clear about no and not yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpulease_host.api import Api, ApiRefusedError, ApiUnreachableError, MachineAuth
from gpulease_host.machine_key import MachineKey
from gpulease_host.settings import HostConfig, Settings, SettingsError
from gpulease_host.trusted_clock import TrustedClock
from gpulease_host.wire import order_to_wire
from tests.host.http_api import HttpApi, error, serving
from tests.host.orders import HOST_ID, order
from tests.host.test_wire import check

KEY = MachineKey.generate()
FETCH, MANIFEST, REGISTER = "/v1/host/fetch", "/v1/host/manifest", "/v1/host/register"
CERTIFICATES = "/v1/host/certificates"


@pytest.fixture
def http() -> Iterator[HttpApi]:
    with serving(HttpApi(KEY)) as served:
        yield served


@pytest.fixture
def api(http: HttpApi) -> Api:
    return Api(http.url, MachineAuth(KEY, HOST_ID, time.time))


def test_a_fetch_is_signed_and_as_its_schema_says(http: HttpApi, api: Api) -> None:
    http.orders[11] = order()
    assert api.fetch(order()) == {"v": 1, "key_id": KEY.key_id, "sealed": None}
    check("fetch", {"request": http.seen[0][1]})


def test_a_request_for_a_certificate_is_signed_and_as_its_schema_says(http: HttpApi, api: Api) -> None:
    answer = {"v": 1, "certificate": "pem", "not_after": 5}
    http.replies[CERTIFICATES] = [(200, answer)]
    assert api.certify(order(), "csr") == answer
    check("certificate", {"request": http.seen[0][1]})


def test_the_manifest_is_signed_and_as_its_schema_says(http: HttpApi, api: Api) -> None:
    http.orders[11] = order()
    assert api.manifest()["orders"] == [order_to_wire(order())]
    check("manifest", {"request": http.seen[0][1]})


@pytest.mark.parametrize("ahead_s", [600, 3 * 86400, -3600])
def test_a_clock_that_is_wrong_is_set_by_the_refusal_and_the_request_signed_anew(http: HttpApi, ahead_s: int) -> None:
    clock = TrustedClock(lambda: time.time() + ahead_s)
    wrong = Api(http.url, MachineAuth(KEY, HOST_ID, clock), clock.hear)
    assert wrong.manifest()["orders"] == []
    assert abs(clock() - time.time()) < 3
    assert len(http.seen) == 1


def test_another_machines_key_is_refused(http: HttpApi) -> None:
    other = Api(http.url, MachineAuth(MachineKey.generate(), HOST_ID, time.time))
    with pytest.raises(ApiRefusedError) as caught:
        other.fetch(order())
    assert caught.value.status == 401


def test_a_netrc_does_not_take_the_place_of_the_signature(
    http: HttpApi, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert api.manifest()["orders"] == []


def test_a_409_is_a_no(http: HttpApi, api: Api) -> None:
    with pytest.raises(ApiRefusedError, match="not_current"):
        api.fetch(order())


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_api_is_not_a_no(http: HttpApi, api: Api, status: int) -> None:
    http.replies[FETCH] = [(status, error("busy"))]
    with pytest.raises(ApiUnreachableError):
        api.fetch(order())


@pytest.mark.parametrize("reply", [(200, b"<html>"), (302, b"")])
def test_what_is_no_answer_is_not_a_no(http: HttpApi, api: Api, reply: tuple[int, bytes]) -> None:
    http.replies[FETCH] = [reply]
    with pytest.raises(ApiUnreachableError):
        api.fetch(order())


def test_no_api_is_not_a_no() -> None:
    with pytest.raises(ApiUnreachableError):
        Api("http://127.0.0.1:9", MachineAuth(KEY, HOST_ID, time.time)).fetch(order())


def make_settings(folder: Path) -> Settings:
    return Settings(folder, 60, 10, folder / "credentials")


def test_a_missing_registration_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="gpulease-host register"):
        HostConfig.load(tmp_path / "config.json")


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1e9"])
def test_a_setting_that_is_no_number_of_seconds_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="GPULEASE_HEARTBEAT_S"):
        Settings.from_environment({"GPULEASE_HEARTBEAT_S": value})
