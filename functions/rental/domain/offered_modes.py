"""Which launch modes a new contract on a host could have now: what the host serves, where a way leads to it.

Offers show it, and whoever rents another mode is refused, before anything is made that could only wait.
"""

from collections.abc import Iterator, Mapping

from rental.domain.allocation import Manifest
from rental.domain.errors import ModeNotServedError
from rental.domain.publishing import has_free_ports
from rental.domain.readiness import MODES
from rental.domain.ways_in import JupyterVia, Proxy, ports_of_mode

NO_TOOLKIT = "This host has no toolkit for ssh and jupyter at the moment."
WHY_NOT = {"ssh": NO_TOOLKIT, "jupyter": NO_TOOLKIT}
"""What a client is told. The host's own words may name what is on the machine: they are for its owner."""


def offered_modes(manifest: Manifest, proxy: Proxy | None) -> Mapping[str, tuple[JupyterVia, ...]]:
    """The modes with the ways into each; `args` needs none, since its image looks after that itself."""
    served = [mode for mode in MODES if manifest.readiness.why_not_served(mode) is None]
    ways = {mode: tuple(_ways_into(mode, manifest, proxy)) for mode in served}
    return {mode: found for mode, found in ways.items() if found or mode == "args"}


def check_served(manifest: Manifest, mode: str, proxy: Proxy | None) -> None:
    """Raises ModeNotServedError with the modes that can be had."""
    if manifest.readiness.why_not_served(mode) is None:
        return
    reason = WHY_NOT.get(mode, f"This host does not serve mode {mode} at the moment.")
    others = " or ".join(offered_modes(manifest, proxy))
    advice = f"Take mode {others}, or choose another offer." if others else "Choose another offer."
    raise ModeNotServedError(f"{reason} {advice}")


def _ways_into(mode: str, manifest: Manifest, proxy: Proxy | None) -> Iterator[JupyterVia]:
    """Those that renting accepts: JupyterLab needs an address for its certificate, and published ports free numbers."""
    direct = manifest.direct
    if mode == "args":
        return
    if direct is not None and (mode == "ssh" or direct.is_seen_outside) and _has_room(manifest, mode, "direct"):
        yield "direct"
    if proxy is not None and _has_room(manifest, mode, "proxy"):
        yield "proxy"


def _has_room(manifest: Manifest, mode: str, via: JupyterVia) -> bool:
    return has_free_ports(manifest, tuple(ports_of_mode(mode, via if mode == "jupyter" else None)))
