"""A machine becomes a host, once; and a new one only after its former host is known to be given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpulease_host.api import Api
from gpulease_host.engine import Secrets
from gpulease_host.key_ring import KeyRing
from gpulease_host.machine_key import MachineKey
from gpulease_host.register import Machine, register
from gpulease_host.settings import HostConfig, Settings, SettingsError
from tests.host.fakes import FakeClock, FakeEngine
from tests.host.http_api import HttpApi, error, serving
from tests.host.orders import HOST_ID, order
from tests.host.test_wire import check

REGISTER, MANIFEST = "/v1/host/register", "/v1/host/manifest"
OTHER = HOST_ID + 1


@pytest.fixture
def http() -> Iterator[HttpApi]:
    with serving(HttpApi(MachineKey.generate())) as api:
        yield api


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(FakeClock())


def make_settings(folder: Path) -> Settings:
    return Settings(folder, 60, 10, folder / "credentials")


def register_here(http: HttpApi, folder: Path, engine: FakeEngine, host_id: int = HOST_ID) -> HostConfig:
    """Register `folder` as this host; the API takes whatever key it is sent."""
    http.registers_as = host_id
    machine = Machine(Api, lambda _host_id, _gpus: engine)
    config = register(make_settings(folder), http.url, f"{host_id}.secret", 4, machine)
    http.key = MachineKey.load(make_settings(folder).key_path)
    return config


def test_registering_writes_what_the_daemon_needs(http: HttpApi, tmp_path: Path, engine: FakeEngine) -> None:
    config = register_here(http, tmp_path / "host", engine)
    settings = make_settings(tmp_path / "host")
    assert HostConfig.load(settings.config_path) == config
    assert (config.host_id, config.simulate_gpus, config.api_url) == (HOST_ID, 4, http.url)
    assert settings.journal_path.exists()
    check("register", {"request": http.seen[0][1]})


def test_registering_settles_what_the_host_promises(http: HttpApi, tmp_path: Path, engine: FakeEngine) -> None:
    asked: list[int] = []

    def open_engine(host_id: int, simulate_gpus: int) -> FakeEngine:
        asked.append(host_id)
        return engine

    register(make_settings(tmp_path), http.url, f"{HOST_ID}.secret", 4, Machine(Api, open_engine))
    assert asked == [0, HOST_ID]


def test_registering_again_keeps_key_and_journal(http: HttpApi, tmp_path: Path, engine: FakeEngine) -> None:
    register_here(http, tmp_path, engine)
    settings = make_settings(tmp_path)
    key = settings.key_path.read_bytes()
    settings.journal_path.unlink()
    register_here(http, tmp_path, engine)
    assert settings.key_path.read_bytes() == key
    assert not settings.journal_path.exists(), "a lost journal must stay a lost one"


def test_a_folder_of_a_host_that_was_not_given_up_is_not_taken_over(
    http: HttpApi, tmp_path: Path, engine: FakeEngine
) -> None:
    register_here(http, tmp_path, engine)
    engine.start(order(), Secrets())
    with pytest.raises(SettingsError, match="not given up"):
        register_here(http, tmp_path, engine, OTHER)
    assert engine.is_running(11)
    assert HostConfig.load(make_settings(tmp_path).config_path).host_id == HOST_ID


def test_an_api_that_does_not_answer_gives_no_host_up(http: HttpApi, tmp_path: Path, engine: FakeEngine) -> None:
    register_here(http, tmp_path, engine)
    engine.start(order(), Secrets())
    http.replies[MANIFEST] = [(503, error("busy"))] * 2
    with pytest.raises(Exception, match="503"):
        register_here(http, tmp_path, engine, OTHER)
    assert engine.is_running(11)


def test_a_machine_whose_host_was_given_up_first_ends_all_it_had(
    http: HttpApi, tmp_path: Path, engine: FakeEngine
) -> None:
    register_here(http, tmp_path, engine)
    settings = make_settings(tmp_path)
    old_key = settings.key_path.read_bytes()
    settings.tunnel_key_path.write_text("known to proxies as the former host's")
    engine.start(order(), Secrets())
    http.replies[MANIFEST] = [(409, error("host_retired"))]
    assert register_here(http, tmp_path, engine, OTHER).host_id == OTHER
    assert not engine.held
    assert engine.calls[-1] == "remove networks"
    assert settings.key_path.read_bytes() != old_key
    assert not settings.tunnel_key_path.exists()
    assert HostConfig.load(settings.config_path).host_id == OTHER
    assert settings.journal_path.with_name(f"journal.retired-{HOST_ID}").exists()


def test_a_crash_in_the_middle_of_leaving_goes_on(http: HttpApi, tmp_path: Path, engine: FakeEngine) -> None:
    """The containers are gone and so is the key, but the configuration is still the former host's."""
    register_here(http, tmp_path, engine)
    make_settings(tmp_path).key_path.unlink()
    assert register_here(http, tmp_path, engine, OTHER).host_id == OTHER


def test_a_machine_that_lost_its_key_keeps_what_it_has(http: HttpApi, tmp_path: Path, engine: FakeEngine) -> None:
    register_here(http, tmp_path, engine)
    engine.start(order(), Secrets())
    make_settings(tmp_path).key_path.unlink()
    with pytest.raises(SettingsError, match="not given up"):
        register_here(http, tmp_path, engine, OTHER)
    assert engine.is_running(11)


def test_a_machine_whose_key_was_changing_asks_with_either(http: HttpApi, tmp_path: Path, engine: FakeEngine) -> None:
    """The next key is in force already, but its answer was lost: the present one is refused for that alone."""
    register_here(http, tmp_path, engine)
    http.key = KeyRing.open(make_settings(tmp_path).key_path).make_next()
    http.replies[MANIFEST] = [(409, error("host_retired"))]
    assert register_here(http, tmp_path, engine, OTHER).host_id == OTHER
    assert [each.name for each in tmp_path.glob("machine.key*")] == ["machine.key"]


@pytest.mark.parametrize(
    "url",
    [
        "http://gpulease.example",
        "http://10.0.0.7:8080",
        "http://127.0.0.1.example",
        "http://localhost.example",
        "http://127.0.0.1@gpulease.example",
        "ftp://127.0.0.1",
        "gpulease.example",
        "",
    ],
)
def test_a_url_that_others_could_read_along_is_refused_before_anything_is_sent_or_kept(
    tmp_path: Path, engine: FakeEngine, url: str
) -> None:
    asked: list[str] = []

    def open_api(api_url: str, auth: object) -> Api:
        asked.append(api_url)
        return Api(api_url, None)

    with pytest.raises(SettingsError, match="no URL of https"):
        register(make_settings(tmp_path / "host"), url, "1.secret", 4, Machine(open_api, lambda *_: engine))
    assert (asked, (tmp_path / "host").exists()) == ([], False)


@pytest.mark.parametrize(
    "url", ["https://gpulease.example", "http://127.0.0.1:8080", "http://[::1]:8080", "http://api.localhost:1"]
)
def test_https_and_this_machine_itself_are_asked(tmp_path: Path, engine: FakeEngine, url: str) -> None:
    class Reached(Exception):
        """Registration has come so far."""

    def open_api(api_url: str, auth: object) -> Api:
        raise Reached

    with pytest.raises(Reached):
        register(make_settings(tmp_path / "host"), url, "1.secret", 4, Machine(open_api, lambda *_: engine))
