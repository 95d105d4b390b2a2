"""When the demo cannot go on it says why in one sentence, in the words of whoever knows, and dumps nothing."""

from __future__ import annotations

import pytest
import requests
from selenium.common.exceptions import WebDriverException

from local.client import ApiError, WaitedTooLongError, wait_until
from local.demo.narration import Narrator
from local.demo.rental import DURATION_S, duration_on
from local.explain import explain
from local.supervise import ProcessError

CONTRACT = {
    "id": 1,
    "status": "pending",
    "reason": None,
    "instances": [{"id": 1, "status": "loading", "reason": "The host has no toolkit."}],
}
HOST = {"id": 1, "status": "registered", "reason": "never heard", "inventory": {"gpus": []}}


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            WaitedTooLongError("A way in", 300, CONTRACT),
            "A way in did not come about in 300 s: it is pending, its instance is loading (The host has no toolkit).",
        ),
        (
            WaitedTooLongError("The host's report", 90, HOST),
            "The host's report did not come about in 90 s: it is registered (never heard).",
        ),
        (WaitedTooLongError("An offer", 2, None, "No pip."), "An offer did not come about in 2 s. No pip."),
        (WaitedTooLongError("Death", 2, ["a", "list"]), "Death did not come about in 2 s."),
        (ApiError(409, "host_not_ready", "The host is not ready."), "409 host_not_ready: The host is not ready."),
        (ProcessError("The local cloud did not start.\n{'a': 'dump'}"), "The local cloud did not start."),
        (WebDriverException("tab crashed\nStacktrace: …"), "The browser failed: tab crashed"),
        (requests.ConnectionError("HTTPConnectionPool(…)"), "The service or Docker does not answer any more."),
    ],
)
def test_a_failure_is_explained_in_one_sentence(error: Exception, sentence: str) -> None:
    assert explain(error) == sentence


def test_a_wait_that_was_too_long_keeps_what_was_last_seen() -> None:
    with pytest.raises(WaitedTooLongError, match="Last seen: 1") as waited:
        wait_until(lambda: 1, lambda seen: seen == 2, "Two", 0)
    assert waited.value.seen == 1


def test_the_rental_lasts_longer_where_the_service_took_long_to_start() -> None:
    assert (duration_on(10), duration_on(400.7)) == (DURATION_S, 200)


def test_the_narrator_wraps_what_is_long_and_leaves_commands_whole(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"ssh://{'a' * 120}"
    Narrator().say(f"{'word ' * 30}{command}\n  indented")
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in lines if command not in line)
    assert lines[-2:] == [f"    {command}", "      indented"]
