"""Fixtures of the local SSM's tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ssm.endpoint import AgentProcess, Endpoint, Rig
from tests.ssm.real_agent import RealAgentProcess
from tests.ssm.world import DOCUMENT_NAME, World, command_document


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A service with the project's document in it."""
    made = World(tmp_path)
    made.service.put_document(DOCUMENT_NAME, command_document("gpulease-host accept '{{ Order }}'"))
    return made


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """The service on a loopback port."""
    served = Endpoint(tmp_path)
    served.start()
    yield served
    served.stop()


@pytest.fixture
def rig(endpoint: Endpoint, tmp_path: Path) -> Iterator[Rig]:
    """The service with an agent that polls it: the real one if SSM_AGENT_DIR names its binaries."""
    kind = RealAgentProcess if os.environ.get("SSM_AGENT_DIR") else AgentProcess
    agent = kind(endpoint, tmp_path / "agent")
    agent.start()
    yield Rig(endpoint, agent)
    agent.kill()
