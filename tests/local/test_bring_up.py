"""A running cloud is brought up to date: in place where it can be, else by a start with replay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from local import supervise, synth
from local.bring_up import bring_up
from local.cloud.settings import CloudInfo, read_info
from local.deploy import DeployError
from local.ports import free_port
from tests.local.conftest import TINY

pytestmark = pytest.mark.cloud


@dataclass
class Place:
    """One state folder, and what was said while it was brought up."""

    state: Path
    port: int
    said: list[str] = field(default_factory=list)

    def bring_up(self, assembly: Path) -> CloudInfo:
        self.said.clear()
        return bring_up(self.state, self.port, assembly, self.said.append)

    def greeting(self) -> str:
        return str(requests.get(f"http://127.0.0.1:{self.port}/v1/x", timeout=30).json()["greeting"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "state", free_port())
    yield made
    supervise.stop_cloud(made.state)


@pytest.fixture(scope="module")
def changed_assembly() -> Path:
    return synth.cached_assembly(TINY, {"greeting": "good evening"})


def put(info: CloudInfo) -> None:
    key = {"pk": {"S": "kept"}, "sk": {"S": "A"}}
    info.client("dynamodb").put_item(TableName=info.outputs["TableName"], Item=key)


def is_kept(info: CloudInfo) -> bool:
    key = {"pk": {"S": "kept"}, "sk": {"S": "A"}}
    return "Item" in info.client("dynamodb").get_item(TableName=info.outputs["TableName"], Key=key)


@pytest.mark.slow
def test_changed_templates_are_deployed_over_the_running_cloud(
    place: Place, tiny_assembly: Path, changed_assembly: Path
) -> None:
    first = place.bring_up(tiny_assembly)
    put(first)
    assert place.said == ["Starting the local cloud …"]
    assert place.bring_up(tiny_assembly) == first
    assert place.said == []
    second = place.bring_up(changed_assembly)
    assert "updated in place" in place.said[0]
    assert second == first == read_info(place.state)
    assert place.greeting() == "good evening"
    assert is_kept(second)


def test_a_cloud_whose_own_code_changed_is_started_again_with_all_it_knew(
    place: Place, tiny_assembly: Path, changed_assembly: Path
) -> None:
    first = place.bring_up(tiny_assembly)
    put(first)
    pid_file = place.state / "cloud.pid"
    pid_file.write_text(json.dumps({**json.loads(pid_file.read_text()), "code": "older"}))
    second = place.bring_up(changed_assembly)
    assert "started again" in place.said[0]
    assert len(place.said) == 1
    assert second.pid != first.pid
    assert second.outputs["TableName"] == first.outputs["TableName"]
    assert place.greeting() == "good evening"
    assert is_kept(second)


def test_an_update_that_fails_leaves_the_service_as_it_was_and_is_tried_again(
    place: Place, tiny_assembly: Path, changed_assembly: Path, tmp_path: Path
) -> None:
    first = place.bring_up(tiny_assembly)
    put(first)
    with pytest.raises(DeployError, match=r"AWS::XRay::Group(?s:.*)runs on as it was"):
        place.bring_up(broken(changed_assembly, tmp_path / "broken"))
    assert place.greeting() == "hello"
    assert is_kept(first)
    place.bring_up(changed_assembly)
    assert place.greeting() == "good evening"


def broken(assembly: Path, folder: Path) -> Path:
    """The same with one more resource, that nobody can make."""
    shutil.copytree(assembly, folder)
    template = folder / "Tiny-Service.template.json"
    content = json.loads(template.read_text())
    content["Resources"]["Group"] = {"Type": "AWS::XRay::Group", "Properties": {}}
    template.write_text(json.dumps(content))
    return folder
