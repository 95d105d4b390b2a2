"""How much longer until people get in than until a container runs: the three modes, taking turns, with one image."""

from __future__ import annotations

import time
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from local import toolkits
from local.bench.figures import Figure
from local.bench.starting import COMMAND
from local.client import wait_until
from local.images import BUSYBOX
from local.offers import wait_for_offer
from local.site import Running

TURNS = 5
SSH_TARGET_S, JUPYTER_TARGET_S = 1.5, 6.0


def figures(site: Running) -> list[Figure]:
    """`running` of the modes ssh and jupyter is said only once the host itself has got in."""
    toolkits.ensure()
    key = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    wishes: dict[str, dict[str, object]] = {
        "args": {"args": COMMAND},
        "ssh": {"mode": "ssh", "ssh_keys": [key]},
        "jupyter": {"mode": "jupyter", "jupyter_via": "direct"},
    }
    print(f"Ways in, {TURNS} turns …")
    took: dict[str, list[float]] = {mode: [] for mode in wishes}
    for turn in range(TURNS + 1):
        for mode, wish in wishes.items():
            seconds = _until_running(site, wish)
            if turn > 0:  # the first is to warm up
                took[mode].append(seconds)
    runs = median(took["args"])
    return [
        Figure("POST /v1/contracts to running", runs, None, "s"),
        Figure("ssh reached, beyond running", median(took["ssh"]) - runs, SSH_TARGET_S, "s"),
        Figure("JupyterLab reached, beyond running", median(took["jupyter"]) - runs, JUPYTER_TARGET_S, "s"),
    ]


def _until_running(site: Running, wish: dict[str, object]) -> float:
    offer = wait_for_offer(site.client, site.owner, mode=str(wish.get("mode", "args")))
    began = time.monotonic()
    contract = site.client.post(
        "/v1/contracts", {"offer_id": offer["id"], "image": BUSYBOX, "disk_gib": 1, "duration_s": 600, **wish}
    )
    path = f"/v1/contracts/{contract['id']}"
    wait_until(lambda: site.client.get(path), lambda seen: seen["status"] == "active", "A way in", 60)
    took = time.monotonic() - began
    site.client.delete(path)
    wait_until(lambda: site.client.get(path), lambda seen: seen["status"] == "deleted", "The end")
    return took
