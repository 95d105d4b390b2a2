"""Keeps a certificate of the service's authority with each instance of mode jupyter: from before it starts, and later.

Nothing starts without one. What runs goes on with the one it has, and asks again, less and less often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from gpulease_host.api import ApiError
from gpulease_host.backoff import Backoff
from gpulease_host.engine import Order
from gpulease_host.launch.instance_files import InstanceFiles, files_of
from gpulease_host.launch.tls import CertificateError, Request, Validity, check
from gpulease_host.log import Log

JUPYTER = "jupyter"
NOT_HAD = (ApiError, CertificateError, OSError)


class CertificateApi(Protocol):
    def certify(self, order: Order, csr: str) -> Any: ...


class Certificates:
    """`folder` is the host's. `clock` is epoch seconds, `elapsed` monotonic ones."""

    def __init__(
        self,
        folder: Path,
        api: CertificateApi,
        clock: Callable[[], float],
        elapsed: Callable[[], float],
        backoff: Backoff,
        log: Log,
    ) -> None:
        self._folder = folder
        self._api = api
        self._clock = clock
        self._elapsed = elapsed
        self._backoff = backoff
        self._log = log
        self._ask_again_at: dict[int, float] = {}
        self._writing = threading.Lock()
        """A key and the certificate of another would be of no use."""

    def why_not_ready(self, order: Order) -> str | None:
        """Before a start: a sentence while it has no certificate and none is to be had."""
        if order.mode != JUPYTER:
            return None
        files = files_of(self._folder, order.instance_id)
        held, now = _held(files), self._clock()
        if held is not None and now < held.renew_at:
            return None
        try:
            files.make_folders()
            self._replace(order, files)
        except NOT_HAD as error:
            if held is None or now >= held.ends_at:
                return f"Waits for its certificate: {error}"
        return None

    def renew(self, running: Iterable[Order]) -> None:
        """Replace what is near its end, of those that run."""
        notebooks = {order.instance_id: order for order in running if order.mode == JUPYTER}
        self._ask_again_at = {each: at for each, at in self._ask_again_at.items() if each in notebooks}
        for instance_id, order in notebooks.items():
            if self._elapsed() >= self._ask_again_at.get(instance_id, 0.0):
                self._renew(order)

    def _renew(self, order: Order) -> None:
        files = files_of(self._folder, order.instance_id)
        held = _held(files)
        if held is not None and self._clock() < held.renew_at:
            return
        try:
            self._replace(order, files)
        except NOT_HAD as error:
            delay_s = self._backoff.failed(order.instance_id)
            self._ask_again_at[order.instance_id] = self._elapsed() + delay_s
            self._log.say("certificate not renewed", instance_id=order.instance_id, reason=str(error))
        else:
            self._backoff.succeeded(order.instance_id)
            self._log.say("certificate renewed", instance_id=order.instance_id)

    def _replace(self, order: Order, files: InstanceFiles) -> None:
        """Raises ApiError, CertificateError, OSError."""
        request = Request()
        answer = self._api.certify(order, request.csr())
        chain = answer.get("certificate") if isinstance(answer, dict) and answer.get("v") == 1 else None
        if not isinstance(chain, str):
            raise CertificateError("the control plane's answer cannot be read")
        with self._writing:
            files.set_tls(request.files(chain))


def _held(files: InstanceFiles) -> Validity | None:
    """How long the certificate that is there is good for; None where there is none, or none that can be used."""
    try:
        held = files.tls
        return None if held is None else check(held)
    except (CertificateError, OSError, UnicodeDecodeError):
        return None
