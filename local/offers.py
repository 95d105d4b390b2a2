"""Find an offer on a host of ours, once it has what is to be rented: a host may need a minute for its toolkit."""

from __future__ import annotations

from typing import Any

from local.client import Client, WaitedTooLongError, wait_until

MODE_S = 120.0


def wait_for_offer(
    client: Client,
    owner: Client,
    *,
    mode: str = "args",
    via: str | None = None,
    num_gpus: int = 1,
    timeout_s: float = MODE_S,
) -> dict[str, Any]:
    """An offer of so many GPUs in which the mode can be had, in this way if one is named.

    Raises WaitedTooLongError with what its hosts say of the mode, which they tell their owner.
    """

    def find() -> dict[str, Any] | None:
        offers = client.get("/v1/offers")["items"]
        return next((each for each in offers if each["num_gpus"] == num_gpus and _has(each, mode, via)), None)

    try:
        found: dict[str, Any] = wait_until(find, bool, f"An offer with mode {mode}", timeout_s)
    except WaitedTooLongError as error:
        raise WaitedTooLongError(error.what, error.timeout_s, error.seen, _reasons(owner, mode)) from error
    return found


def _has(offer: dict[str, Any], mode: str, via: str | None) -> bool:
    return mode in offer["modes"] and (via is None or via in offer["modes"][mode])


def _reasons(owner: Client, mode: str) -> str:
    hosts = [owner.get(f"/v1/hosts/{each['id']}") for each in owner.get("/v1/hosts")["items"]]
    said = {reason for host in hosts for reason in (host["reason"], host["modes"].get(mode)) if reason is not None}
    return " ".join(sorted(said)) or "its GPUs are taken, or no such way leads to it."
