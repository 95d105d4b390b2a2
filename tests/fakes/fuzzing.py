"""Schemathesis over the API's own description: every phase and every check, and what they found.

A finding is let pass for one reason only: the request was in order, and was refused for what no schema can promise,
in a sentence that is listed here.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from requests.auth import AuthBase
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.openapi.checks import RejectedPositiveData

from rental.api.limits import MAX_IDEMPOTENCY_KEY

DOCUMENT = "/v1/openapi.json"
BEYOND_ANY_SCHEMA = {
    "idempotency_mismatch": r"This Idempotency-Key was used with another request or body\. .*",
    "duration_too_long": r"The offer (has ended|lasts \d+ s more)\. .*",
    "invalid_request": "|".join(
        (
            r"The cursor is not one of ours\. .*",
            r"\d+ instances cannot split \d+ GPUs evenly\. .*",
            r"end_at must be in the future\.",
            r"end_at must be later than \d+: a contract is never shortened\.",
            r"The host has \d+ GPUs: min_gpus is too large\.",
            r"env: all variables together have at most \d+ bytes",
            r"env, entrypoint and args exceed \d+ bytes of JSON together\.",
            r"The command exceeds \d+ bytes of JSON\. .*",
            r"inventory\.gpus: GPUs are listed by index from 0 on, each with a uuid of its own",
            r"signing_key, sealing_key: .*",
            r"ssh_keys: mode args lets nobody in over ssh\. .*",
            r"An SSH key is the one line of a \.pub file, without options: .*",
            r"(This is|These are|DSA keys|Before the SSH key) .*",
            r"body: init is for mode args: .*",
            r"env: NVIDIA_DRIVER_CAPABILITIES has one or more of .*",
            r"Hosts publish ports on IPv4 only, .*",
            r"The (RSA key|SSH key|comment of the SSH key) .*",
            r"body: onstart is for modes ssh and jupyter: in mode args use entrypoint and args",
            r"body: entrypoint and args are for mode args: in mode (ssh|jupyter) use onstart",
            r"body: jupyter_via is for mode jupyter",
            r"body: ports: .*",
            r"The range must lie within 1024 to 65535, its first port not last\.",
            r"A range may have at most 4096 ports\.",
            r"address must be an? .*",
            r"csr: .*",
        )
    ),
}
"""By code, the sentences that refuse a request for what is now, or for how its parts go together."""

Sign = Callable[[str, bytes, int], str]


class Caller(AuthBase):
    """Sends an API key, or what a machine signs where machines are asked. It does not revoke the keys `spared`."""

    def __init__(self, key: str, sign: Sign, spared: Collection[str] = ()) -> None:
        self._key = key
        self._sign = sign
        self._spared = spared
        self._numbers = itertools.count()

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        for key_id in self._spared:
            request.url = (request.url or "").replace(key_id, "0" * len(key_id))
        once = request.headers.get("Idempotency-Key")
        if once and len(once) <= MAX_IDEMPOTENCY_KEY // 2:  # else the same few texts come with ever other requests
            request.headers["Idempotency-Key"] = f"{_text(once)}{next(self._numbers)}"
        path = request.path_url.partition("?")[0]
        if path.startswith("/v1/host/"):
            request.headers["Authorization"] = f"Machine {self._sign(path, _bytes(request.body), int(time.time()))}"
        else:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


@dataclass
class Outcome:
    """`answered` counts (operation, status); `checked` counts how often each check was applied."""

    findings: list[str] = field(default_factory=list)
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    checked: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        return sum(self.answered.values())

    def succeeded(self) -> set[str]:
        """The operations that did what they are for, at least once."""
        return {operation for operation, status in self.answered if 200 <= status < 300}

    def take(self, event: events.EngineEvent) -> None:
        match event:
            case events.ScenarioFinished():
                self._take_scenario(event.recorder)
            case events.NonFatalError():
                self.findings.append(f"{event.label}: {event.info.title}: {event.info.message}")
            case events.FatalError():
                raise event.exception

    def _take_scenario(self, recorder: ScenarioRecorder) -> None:
        for case_id, interaction in recorder.interactions.items():
            if interaction.response is not None and case_id in recorder.cases:
                label = recorder.cases[case_id].value.operation.label
                self.answered[label, interaction.response.status_code] += 1
        for case_id, checks in recorder.checks.items():
            for check in checks:
                self.checked[check.name] += 1
                if check.failure_info is not None:
                    self.findings.append(_told(recorder, case_id, check.failure_info))


def every_check() -> set[str]:
    load_all_checks()
    return set(CHECKS.get_all_names())


def fuzz(
    url: str, auth: AuthBase | dict[str, Any], *, examples: int = 10, seed: int = 1, only: Collection[str] = ()
) -> Outcome:
    """Ask everything of the API at `url`, or of its operations `only`. `auth` is a caller, or configures several."""
    config: dict[str, Any] = {
        "base-url": url,
        "seed": seed,
        "continue-on-failure": True,
        "cache": {"enabled": False},
        "checks": {"enabled": True},
        "generation": {"max-examples": examples, "deterministic": True, "database": "none"},
    }
    if isinstance(auth, dict):
        config["auth"] = auth
    document = requests.get(url + DOCUMENT, timeout=30).json()  # loaded from its address, that would be left out
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict(config))
    asked = schema.include(operation_id=[*only]) if only else schema
    if isinstance(auth, AuthBase):
        asked.auth.set_from_requests(auth)

    @asked.hook
    def filter_failure(context: Any, failure: Any, case: Any, response: schemathesis.Response) -> bool:
        return not (isinstance(failure, RejectedPositiveData) and _is_beyond_any_schema(response))

    outcome = Outcome()
    for event in from_schema(asked).execute():
        outcome.take(event)
    return outcome


def _is_beyond_any_schema(response: schemathesis.Response) -> bool:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError):
        return False
    sentence = BEYOND_ANY_SCHEMA.get(error["code"])
    return sentence is not None and re.fullmatch(sentence, error["message"]) is not None


def _told(recorder: ScenarioRecorder, case_id: str, info: Any) -> str:
    interaction = recorder.interactions.get(case_id)
    answered = interaction.response if interaction is not None else None
    answer = f"{answered.status_code} {answered.text[:500]}" if answered is not None else "no answer"
    return (
        f"{type(info.failure).__name__} {info.failure.operation}\n{info.failure.message}\n{info.code_sample}\n{answer}"
    )
