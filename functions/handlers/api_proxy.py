"""/v1/proxy/*: what the deployment's proxies ask. Their API key reads this, and nothing else."""

import re
from functools import cache
from http import HTTPStatus
from typing import Any

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, caller, entry_point, make_app
from rental.adapters import wiring
from rental.adapters.system import SystemClock
from rental.domain.errors import NotFoundError
from rental.service.proxying import Binding
from rental.service.tunneling import Tunneling

FINGERPRINT = re.compile(r"[0-9a-f]{64}")

app = make_app()
handler = entry_point(app)


@cache
def tunneling() -> Tunneling:
    return Tunneling(wiring.store(), SystemClock())


@app.get("/v1/proxy/hosts/<fingerprint>")
def show_ports(**_: str) -> Response[str]:
    caller(app, "proxy")
    found = tunneling().ports_of(_fingerprint())
    bindings = [line for each in found.bindings for line in _present(each)]
    return answer(HTTPStatus.OK, {"host_id": found.host_id, "bindings": bindings})


def _present(binding: Binding) -> list[dict[str, Any]]:
    """A line for each number that the instance has."""
    ports = {"ssh": binding.proxy_ssh_port, "jupyter": binding.proxy_jupyter_port}
    return [
        {"instance_id": binding.instance_id, "kind": kind, "port": port}
        for kind, port in ports.items()
        if port is not None
    ]


def _fingerprint() -> str:
    """In the path; what cannot be one is nobody's."""
    text = (app.current_event.path_parameters or {}).get("fingerprint", "")
    if not FINGERPRINT.fullmatch(text):
        raise NotFoundError("No host has this key.")
    return text
