"""What hostile registries and logins do to a pull: no layers without end, and no image closed by a login in vain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gpulease_host.docker_engine import images, pull_errors
from gpulease_host.docker_engine.docker_api import RefusedError
from gpulease_host.docker_engine.image_memory import ImageMemory
from gpulease_host.docker_engine.images import MOST_LAYERS, Images, ImageTerms
from gpulease_host.docker_engine.pull_progress import PullState
from gpulease_host.engine import ImageMissingError, PullWatch
from tests.host.orders import order


class Nothing:
    """A Docker that has no image."""

    docker_host = "unix:///nowhere"

    def inspect_image(self, image: str) -> None:
        return None


def test_an_image_of_too_many_layers_is_refused_while_they_are_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    @contextmanager
    def docker_lines(*_: object) -> Iterator[Iterator[dict[str, Any]]]:
        def lines() -> Iterator[dict[str, Any]]:
            for each in range(40_000):
                told.append(each)
                yield {"status": "Pulling fs layer", "id": f"{each}"}

        yield lines()

    monkeypatch.setattr(images, "docker_lines", docker_lines)
    docker: Any = Nothing()
    pulls = Images(docker, ImageMemory(None, time.time), lambda: 1 << 50, ImageTerms(), now=lambda: 0)
    watch = PullWatch(lambda: True, lambda sentence, progress: None)
    with pytest.raises(ImageMissingError, match="more layers than Docker can stack") as caught:
        pulls.provide(order(), None, watch)
    assert pull_errors.LAYERS in str(caught.value)
    assert len(told) == MOST_LAYERS + 1


def test_logins_that_bring_nothing_at_the_same_time_close_nothing() -> None:
    memory, wrong = ImageMemory(None, time.time), {"username": "x", "password": "y"}
    docker: Any = Nothing()
    pulls = Images(docker, memory, lambda: 1 << 50, ImageTerms())
    with pytest.raises(RefusedError), pulls._noted("x/y", wrong, PullState()):
        with pytest.raises(RefusedError), pulls._noted("x/y", wrong, PullState()):
            raise RefusedError(401, "unauthorized")
        assert memory.needs_login("x/y"), "the other may still be let in"
        raise RefusedError(401, "unauthorized")
    assert not memory.needs_login("x/y")
