"""The host's own login, on a real Docker with the real toolkit: somebody gets in, and nothing stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.docker_engine.ways_in import NOBODY_GOT_IN
from gpulease_host.engine import EngineError
from tests.host.docker_engine.bench import Bench
from tests.host.docker_engine.test_trial_container import everything

pytestmark = pytest.mark.docker


def test_a_login_is_tried_and_nothing_of_it_stays(bench: Bench, tmp_path: Path) -> None:
    before = everything(bench), sorted(tmp_path.rglob("*"))
    bench.engine.try_way_in()
    assert (everything(bench), sorted(each for each in tmp_path.rglob("*") if each.name != "instances")) == before
    assert bench.engine.containers() == []


def test_what_lets_nobody_in_is_not_offered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a rule of the owner's that drops what this host sends to its own containers."""
    monkeypatch.setattr("gpulease_host.docker_engine.trial_container.LOGIN_S", 0.0)
    monkeypatch.setattr("gpulease_host.launch.reaching.layout.SSH_PORT", 10023)
    for _ in range(2):
        with pytest.raises(EngineError, match="ssh"):
            bench.engine.try_way_in()
    assert bench.engine.inventory()["modes"] == {"args": None, "ssh": NOBODY_GOT_IN, "jupyter": NOBODY_GOT_IN}
