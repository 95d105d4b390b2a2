"""One local cloud for the tests of this folder, with a small CDK application of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local import supervise, synth
from local.cloud.settings import CloudInfo
from local.ports import free_port

TINY = Path(__file__).parent / "tiny"


@pytest.fixture(scope="session")
def tiny_assembly() -> Path:
    """The small application, synthesized."""
    return synth.cached_assembly(TINY, {})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, tiny_assembly: Path) -> Iterator[CloudInfo]:
    """A running cloud that the tests of one file share."""
    state = tmp_path_factory.mktemp("cloud")
    yield supervise.start_cloud(state, free_port(), tiny_assembly)
    supervise.stop_cloud(state)
