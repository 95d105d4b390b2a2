"""The stages, each synthesized once for all tests: production as it is reviewed, and the local cloud's as it is run."""

import pytest

from tests.infra.synthesis import PROXIED, Synthesized, synthesize


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    overrides = {"stage": "prod", "alarm_email": "on-call@example.com"}
    return synthesize(tmp_path_factory.mktemp("prod"), overrides, reviewed=True)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("local"), {"stage": "local", "grace_s": "10"})


@pytest.fixture(scope="session")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """Production with proxies of its own."""
    return synthesize(tmp_path_factory.mktemp("proxied"), PROXIED, reviewed=True)


@pytest.fixture(scope="session", params=["prod", "dev", "local", "proxied"])
def reviewed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """Every stage, with the checks of the review."""
    if request.param in ("prod", "proxied"):
        made: Synthesized = request.getfixturevalue(request.param)
        return made
    return synthesize(tmp_path_factory.mktemp(request.param), {"stage": request.param}, reviewed=True)
