"""What the service said is remembered, and so is that it said nothing: visitors must not become its requests."""

from __future__ import annotations

import io
import threading

import pytest

from proxy.hosts import AGAIN_S, ROUTE_AGE_S, USABLE_S, Hosts
from proxy.log import Log
from proxy.service import ServiceError
from tests.proxy.fake_service import FakeService

ONE, TWO = "1" * 64, "2" * 64


class Scene:
    """A host is logged in, with the JupyterLab of instance 70 at port 40001."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.service = FakeService()
        self.hosts = Hosts(self.service, lambda: self.now, Log(io.StringIO(), lambda: self.now))
        self.service.permit(ONE, 40001)
        self.hosts.log_in(ONE, 100)
        self.service.asked.clear()
        self.service.is_asked.clear()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_route_outlives_the_service_s_silence_for_a_while(scene: Scene) -> None:
    scene.service.is_away = True
    scene.now += ROUTE_AGE_S + 1
    assert scene.hosts.jupyter_port(70) == 40001
    scene.now += USABLE_S
    assert scene.hosts.jupyter_port(70) is None


def test_a_route_ends_with_its_permit(scene: Scene) -> None:
    scene.service.permit(ONE, 40002, instance_id=71)
    scene.now += ROUTE_AGE_S + 1
    assert scene.hosts.jupyter_port(70) is None


def test_of_two_hosts_that_name_one_instance_neither_is_led_to(scene: Scene) -> None:
    scene.service.permit(TWO, 40009)
    scene.hosts.log_in(TWO, 200)
    assert scene.hosts.jupyter_port(70) is None


def test_a_service_that_does_not_answer_is_left_alone_for_a_while(scene: Scene) -> None:
    scene.service.is_away = True
    scene.now += ROUTE_AGE_S + 1
    for _ in range(100):
        assert scene.hosts.jupyter_port(70) == 40001
    assert scene.service.asked == [ONE]
    scene.now += AGAIN_S
    assert scene.hosts.jupyter_port(70) == 40001
    assert scene.service.asked == [ONE, ONE]


def test_requests_of_one_moment_are_one_question_and_only_one_waits(scene: Scene) -> None:
    scene.now += ROUTE_AGE_S + 1
    scene.service.answers.clear()
    found: list[int | None] = []
    first = threading.Thread(target=lambda: found.append(scene.hosts.jupyter_port(70)))
    first.start()
    assert scene.service.is_asked.wait(10)
    assert [scene.hosts.jupyter_port(70) for _ in range(10)] == [40001] * 10
    scene.service.answers.set()
    first.join(10)
    assert found == [40001]
    assert scene.service.asked == [ONE]


def test_who_needs_the_word_of_this_moment_does_not_take_an_answer_from_before(scene: Scene) -> None:
    scene.now += 1
    scene.service.known.clear()
    assert scene.hosts.now(ONE, most_age_s=0) is None
    assert scene.service.asked == [ONE]


def test_a_login_is_asked_for_whatever_failed_before(scene: Scene) -> None:
    scene.now += 1
    scene.service.is_away = True
    with pytest.raises(ServiceError):
        scene.hosts.now(ONE, most_age_s=0)
    scene.service.is_away = False
    assert scene.hosts.log_in(ONE, 200) is not None
