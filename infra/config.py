"""Stages: the same template with other values. Everything that differs between deployments is here."""

import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, get_args

DAY_S = 86_400
HOUR_S = 3_600
NAME = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class StageError(ValueError):
    """The wanted stage or one of its settings makes no sense."""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """Addresses at which clients reach the proxies, and the proxies' ports."""

    addresses: tuple[str, ...]
    first_port: int
    last_port: int
    https_port: int = 443
    """Of JupyterLab, whose names are in the stage's zone."""

    def to_json(self, zone: str) -> str:
        return json.dumps({**asdict(self), "zone": zone}, sort_keys=True)


TUNNEL_PORT = 2222
TUNNEL_USER = "gpulease-proxy"
"""Of the machines that a deployment makes: the defaults of `proxy/settings.py`, and the account of docs/proxy.md."""


@dataclass(frozen=True, kw_only=True)
class ProxyMachines:
    """Proxies that the deployment makes itself, one for each Elastic IP address: `stacks/proxy.py`."""

    elastic_ips: Mapping[str, str]
    """Allocation by address. They are the team's: hosts, clients and DNS know them for longer than a stack lasts."""
    host_key: str
    """The public half of what hosts know them all by."""
    instance_type: str = "t4g.small"
    image: str | None = None
    """An image of Debian 12; left out, the newest at the time."""

    def tunnel_ends(self) -> list[dict[str, object]]:
        known = {"port": TUNNEL_PORT, "user": TUNNEL_USER, "host_key": self.host_key}
        return [{"address": address, **known} for address in self.elastic_ips]


@dataclass(frozen=True, kw_only=True)
class Stage:
    name: str
    cell: int = 0
    """Number of this deployment in every id it draws; a cell holds at most 950 hosts."""
    grace_s: int = 2 * DAY_S
    """From a contract's end to the deletion of its data. A promise to clients: only tests shorten it."""
    zone: str = "localhost"
    """The DNS zone of instances, `j-<id>.<zone>`: the only one that the certificate authority may vouch for, and the
    one whose names lead to the proxies."""
    provision_timeout_s: int = 900
    """An instance that does not run by then has failed. Covers the pull of a large image."""
    log_retention_days: int = 30
    log_level: str = "INFO"
    allow_simulated_gpus: bool = False
    keep_data: bool = True
    """Tables survive the deletion of their stack, and refuse to be deleted."""
    require_layer: bool = True
    """Synthesis refuses without a built dependency layer."""
    enforce_tls: bool = True
    """Queues refuse plain HTTP."""
    tunnel_ends: str = "[]"
    """The proxies as hosts see them, JSON: `[{"address", "port", "user", "host_key"}]`."""
    alarm_email: str | None = None
    throttle_rate_per_s: int = 100
    throttle_burst: int = 200
    proxy: Proxy | None = None
    """Lets clients in where hosts have no open ports, and to JupyterLab."""
    proxy_machines: ProxyMachines | None = None
    """A stack of machines for it; none where the proxies are somewhere else."""

    def all_tunnel_ends(self) -> str:
        made = self.proxy_machines.tunnel_ends() if self.proxy_machines is not None else []
        return json.dumps([*json.loads(self.tunnel_ends), *made]) if made else self.tunnel_ends


STAGES = {
    stage.name: stage
    for stage in (
        Stage(name="prod", log_retention_days=365),
        Stage(name="dev", allow_simulated_gpus=True, keep_data=False, log_level="DEBUG"),
        Stage(
            name="local",
            # Leads to this machine without DNS; browsers take `*.<zone>` in a certificate only where a zone has a dot.
            zone="jupyter.localhost",
            allow_simulated_gpus=True,
            keep_data=False,
            log_retention_days=1,
            # The local cloud runs functions in an interpreter that has these libraries already.
            require_layer=False,
            # It is served over plain HTTP, on the loopback address alone.
            enforce_tls=False,
            throttle_rate_per_s=10_000,
            throttle_burst=5_000,
        ),
    )
}

FIXED = ("name", "require_layer", "enforce_tls")
OVERRIDABLE = tuple(field.name for field in fields(Stage) if field.name not in FIXED)
LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
ZONE = re.compile(rf"{LABEL}(\.{LABEL})*")
MAX_ZONE = 200
"""A name has 253 characters, and an instance's own label comes before."""
MOST_PROXIES = 16
TUNNEL_END = {"address", "port", "user", "host_key", "public_address", "loopback_address"}
HOST_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]{68}")
ALLOCATION = re.compile(r"eipalloc-[0-9a-f]{8,17}")
INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
IMAGE = re.compile(r"ami-[0-9a-f]{8,17}")
PLAIN = re.compile(r"\w+")
"""What our settings look like. The CDK's own context keys have a colon, a slash or a hyphen in them."""


def choose_stage(context: Mapping[str, object]) -> Stage:
    """The stage that `-c stage=…` names, with each of its settings that `-c setting=value` overrides."""
    name = context.get("stage", "dev")
    if name not in STAGES:
        raise StageError(f"stage {name!r} is not one of {', '.join(sorted(STAGES))}")
    _refuse_misspelt(context)
    changes: dict[str, Any] = {key: _read(key, context[key]) for key in OVERRIDABLE if context.get(key) is not None}
    return _checked(replace(STAGES[str(name)], **changes))


def _refuse_misspelt(keys: Iterable[str]) -> None:
    """A setting that nobody reads would leave its default in force, and nobody would know."""
    for key in keys:
        if key in FIXED:
            raise StageError(f"{key} belongs to the stage and cannot be overridden")
        likely = get_close_matches(key.lower().replace("-", "_"), ("stage", *OVERRIDABLE), n=1, cutoff=0.8)
        if key not in ("stage", *OVERRIDABLE) and (likely or PLAIN.fullmatch(key)):
            hint = f"did you mean {likely[0]}?" if likely else f"there are {', '.join(OVERRIDABLE)}"
            raise StageError(f"{key} is not a setting: {hint}")


def _read(key: str, value: object) -> object:
    """CDK hands over text from the command line, and whatever type the JSON file has."""
    declared = Stage.__dataclass_fields__[key].type
    wanted = (get_args(declared) or (declared,))[0]
    if wanted is Proxy:
        return _read_proxy(value)
    if wanted is ProxyMachines:
        return _read_machines(value)
    text = str(value).strip()
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise StageError(f"{key} is true or false, not {value!r}")
        return text.lower() == "true"
    if wanted is int:
        if not text.isdecimal():
            raise StageError(f"{key} is a whole number, not {value!r}")
        return int(text)
    return text


def _read_json(key: str, value: object) -> Any:
    """As text on the command line, as it is in the JSON file."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise StageError(f"{key} is none or JSON, not {value!r}") from error


def _read_proxy(value: object) -> Proxy | None:
    if value == "none":
        return None
    given = _read_json("proxy", value)
    known = {field.name for field in fields(Proxy)}
    if not isinstance(given, Mapping) or set(given) | {"https_port"} != known:
        raise StageError(f"proxy has {', '.join(sorted(known))}, and nothing else")
    addresses, first, last = (given[name] for name in ("addresses", "first_port", "last_port"))
    https_port = given.get("https_port", Proxy.https_port)
    if not isinstance(addresses, list) or not addresses or not all(map(_is_host, addresses)):
        raise StageError("proxy: addresses is a list of IP addresses or DNS names")
    if not all(type(port) is int for port in (first, last)) or not 1024 <= first <= last <= 65_535:
        raise StageError("proxy: first_port to last_port lie within 1024 to 65535")
    if type(https_port) is not int or not 1 <= https_port <= 65_535 or first <= https_port <= last:
        raise StageError("proxy: https_port is a port outside of first_port to last_port")
    return Proxy(addresses=tuple(addresses), first_port=first, last_port=last, https_port=https_port)


def _read_machines(value: object) -> ProxyMachines | None:
    if value == "none":
        return None
    given = _read_json("proxy_machines", value)
    known = {field.name for field in fields(ProxyMachines)}
    if not isinstance(given, Mapping) or not {"elastic_ips", "host_key"} <= set(given) <= known:
        raise StageError("proxy_machines has elastic_ips and host_key, may have instance_type and image, and no more")
    addresses = given["elastic_ips"]
    if not isinstance(addresses, Mapping) or not addresses or not all(map(_is_elastic, addresses.items())):
        raise StageError("proxy_machines: elastic_ips has an allocation, eipalloc-…, for each IPv4 address")
    if len(set(addresses.values())) < len(addresses):
        raise StageError("proxy_machines: elastic_ips has an allocation of its own for each address")
    for name, pattern in (("host_key", HOST_KEY), ("instance_type", INSTANCE_TYPE), ("image", IMAGE)):
        if name in given and not (isinstance(given[name], str) and pattern.fullmatch(given[name])):
            raise StageError(f"proxy_machines: {name} cannot be {given[name]!r}")
    return ProxyMachines(**given)


def _is_elastic(pair: tuple[object, object]) -> bool:
    address, allocation = pair
    try:
        is_ipv4 = isinstance(address, str) and ipaddress.IPv4Address(address) is not None
    except ValueError:
        return False
    return is_ipv4 and isinstance(allocation, str) and ALLOCATION.fullmatch(allocation) is not None


def _is_host(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return NAME.fullmatch(value) is not None and not value.replace(".", "").isdecimal()
    return True


def _checked(stage: Stage) -> Stage:
    if stage.grace_s < 1:
        raise StageError("grace_s is at least one second")
    if not 10 <= stage.provision_timeout_s <= HOUR_S:
        raise StageError("provision_timeout_s lies between 10 seconds and an hour")
    _check_tunnel_ends(stage.tunnel_ends)
    if not 0 <= stage.cell < 64:
        raise StageError("cell has six bits: 0 to 63")
    if len(stage.zone) > MAX_ZONE or not ZONE.fullmatch(stage.zone):
        raise StageError(f"zone is a DNS name in lower case of at most {MAX_ZONE} characters, without a dot at its end")
    if stage.proxy is not None and not json.loads(stage.all_tunnel_ends()):
        raise StageError("proxy needs tunnel_ends: hosts must learn of what clients are sent to")
    if stage.proxy is not None and not NAME.fullmatch(stage.zone):
        raise StageError(f"proxy needs a zone whose names lead to it, and {stage.zone} is none")
    _check_machines(stage)
    _check_ports_apart(stage)
    return stage


def _check_ports_apart(stage: Stage) -> None:
    """A number where a proxy takes tunnels could be drawn for a contract, which nobody would ever reach there."""
    for end in json.loads(stage.all_tunnel_ends()):
        if stage.proxy is not None and stage.proxy.first_port <= end["port"] <= stage.proxy.last_port:
            raise StageError(f"port {end['port']} takes tunnels: keep it out of proxy's ports")


def _check_machines(stage: Stage) -> None:
    if stage.proxy_machines is None:
        return
    if stage.name == "local":
        raise StageError("proxy_machines are of AWS: the local cloud has no machines to make")
    if stage.proxy is None:
        raise StageError("proxy_machines serve a proxy: set proxy too")
    if stage.proxy.https_port == TUNNEL_PORT:
        raise StageError(f"proxy_machines take tunnels at {TUNNEL_PORT}: keep it out of proxy's ports")
    _check_tunnel_ends(stage.all_tunnel_ends())


def _check_tunnel_ends(text: str) -> None:
    """A mistake would not show until hosts refuse what they are told."""
    try:
        ends = json.loads(text)
        good = isinstance(ends, list) and len(ends) <= MOST_PROXIES and all(map(_is_tunnel_end, ends))
    except ValueError:
        good = False
    if not good:
        raise StageError(f"tunnel_ends is a JSON list of at most {MOST_PROXIES} proxies; docs/proxy.md has its form")


def _is_tunnel_end(end: object) -> bool:
    if not isinstance(end, dict) or not {"address", "port", "user", "host_key"} <= end.keys() <= TUNNEL_END:
        return False
    texts = all(isinstance(value, str) and value.isprintable() for name, value in end.items() if name != "port")
    port = end["port"]
    return texts and type(port) is int and 1 <= port <= 65535 and HOST_KEY.fullmatch(end["host_key"]) is not None
