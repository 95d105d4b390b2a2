"""Two stages, each synthesized once for all tests: production as it is reviewed, and the local cloud's."""

import pytest

from tests.infra.synthesis import Synthesized, synthesize


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    overrides = {"stage": "prod", "alarm_email": "on-call@example.com"}
    return synthesize(tmp_path_factory.mktemp("prod"), overrides, reviewed=True)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    return synthesize(tmp_path_factory.mktemp("local"), {"stage": "local", "grace_s": "10"})
