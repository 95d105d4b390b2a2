"""What this host asks of the API, each request signed with the machine key and bound to its body.

ApiError
 ├── ApiRefusedError: the API understood and said no; asking again the same is of no use
 └── ApiUnreachableError: no answer, or one that says to come back
"""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from gpulease_host.engine import Order
from gpulease_host.wire import WIRE_VERSION

FETCH_PATH = "/v1/host/fetch"
CALL_PATH = "/v1/host/call"
CERTIFICATES_PATH = "/v1/host/certificates"
REPLY_PATH = "/v1/host/reply"
KEY_PATH = "/v1/host/key"
TUNNEL_PATH = "/v1/host/tunnel"
MANIFEST_PATH = "/v1/host/manifest"
REGISTER_PATH = "/v1/host/register"
CONNECT_TIMEOUT_S = 3.05
READ_TIMEOUT_S = 10
RETIRED = "host_retired"
RESIGNED = 2
"""So often a request is signed anew when its refusal told that the clock was wrong: two answers must agree on it."""
_COME_BACK = frozenset({408, 425, 429})


class ApiError(Exception):
    pass


class ApiRefusedError(ApiError):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code}, {status})")
        self.status = status
        self.code = code

    @property
    def is_for_good(self) -> bool:
        """Whether this host was given up: whoever asks in its name is told so."""
        return self.code == RETIRED


class ApiUnreachableError(ApiError):
    pass


class Signer(Protocol):
    """A machine key, or the one of several that is in force."""

    def sign_request(self, host_id: int, method: str, path: str, body: bytes, now: int) -> str: ...


class MachineAuth(AuthBase):
    """Signs each request as this host. As an auth object it also keeps a netrc from overriding it."""

    def __init__(self, key: Signer, host_id: int, clock: Callable[[], float]) -> None:
        self._key = key
        self._host_id = host_id
        self._clock = clock

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body if isinstance(request.body, bytes) else b""
        path = request.headers.pop("X-Signed-Path")
        token = self._key.sign_request(self._host_id, "POST", path, body, int(self._clock()))
        request.headers["Authorization"] = f"Machine {token}"
        return request


class Api:
    """Asks as a registered host. Connections are kept and shared by threads.

    `hear` is told the service's time of each answer and how long that took; it says whether the clock is wrong by it.
    """

    def __init__(
        self, base_url: str, auth: AuthBase | None, hear: Callable[[float, float], bool] = lambda _said, _took: False
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._auth = auth
        self._hear = hear
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=8))

    def fetch(self, order: Order) -> Any:
        """Whether this order may start now, with its sealed secrets. Raises ApiError."""
        body = {
            "contract_id": order.contract_id,
            "instance_id": order.instance_id,
            "generation": order.generation,
            "token": order.token,
        }
        return self._post(FETCH_PATH, body)

    def certify(self, order: Order, csr: str) -> Any:
        """A certificate for the notebook of this order. Raises ApiError."""
        names = {"contract_id": order.contract_id, "instance_id": order.instance_id, "generation": order.generation}
        return self._post(CERTIFICATES_PATH, {**names, "csr": csr})

    def manifest(self) -> Any:
        """The whole wanted state of this host. Raises ApiError."""
        return self._post(MANIFEST_PATH, {})

    def replace_key(self, body: dict[str, Any]) -> Any:
        """Raises ApiError."""
        return self._post(KEY_PATH, body)

    def open_tunnel(self, public_key: str) -> Any:
        """Raises ApiError."""
        return self._post(TUNNEL_PATH, {"public_key": public_key})

    def show_call(self, call_id: str) -> Any:
        """What a client waits for. Raises ApiError."""
        return self._post(CALL_PATH, {"call_id": call_id})

    def reply(self, call_id: str, sealed: str) -> Any:
        """Raises ApiError."""
        return self._post(REPLY_PATH, {"call_id": call_id, "sealed": sealed})

    def register(self, body: dict[str, Any]) -> Any:
        """Raises ApiError."""
        return self._post(REGISTER_PATH, body)

    def _post(self, path: str, fields: dict[str, Any]) -> Any:
        body = json.dumps({"v": WIRE_VERSION, **fields}).encode()
        try:
            response = self._send_in_time(path, body)
        except requests.RequestException as error:
            raise ApiUnreachableError(f"the API does not answer ({type(error).__name__})") from error
        return _answer(response)

    def _send_in_time(self, path: str, body: bytes) -> requests.Response:
        """A signature of the wrong time is no signature, and each answer tells the right one."""
        for _ in range(RESIGNED):
            response = self._send(path, body)
            if not self._is_clock_wrong(response) or response.status_code != HTTPStatus.UNAUTHORIZED:
                return response
        return self._send(path, body)

    def _is_clock_wrong(self, response: requests.Response) -> bool:
        try:
            said = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except ValueError:
            return False
        return self._hear(said, response.elapsed.total_seconds())

    def _send(self, path: str, body: bytes) -> requests.Response:
        try:
            return self._send_once(path, body)
        except requests.ConnectionError:
            # A kept connection may have been closed meanwhile; what we ask can be asked twice.
            return self._send_once(path, body)

    def _send_once(self, path: str, body: bytes) -> requests.Response:
        return self._session.post(
            self._base_url + path,
            data=body,
            headers={"Content-Type": "application/json", **({"X-Signed-Path": path} if self._auth else {})},
            auth=self._auth,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            allow_redirects=False,
        )


def _answer(response: requests.Response) -> Any:
    status = response.status_code
    try:
        body = response.json()
    except ValueError:
        body = None
    if status == 200:
        if body is None:
            raise ApiUnreachableError("the API answered something that is not JSON")
        return body
    error = body.get("error") if isinstance(body, dict) else None
    code = str(error.get("code")) if isinstance(error, dict) else "unknown"
    message = str(error.get("message")) if isinstance(error, dict) else "no reason was given"
    if 400 <= status < 500 and status not in _COME_BACK:
        raise ApiRefusedError(status, code, message)
    raise ApiUnreachableError(f"the API answered {status}")
