"""scp into an instance over the proxy, beside scp to the host's own address, taking turns."""

from __future__ import annotations

import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from local import toolkits
from local.bench.figures import Figure
from local.client import wait_until
from local.images import BUSYBOX
from local.offers import wait_for_offer
from local.site import Running

TURNS = 5
FILE_BYTES = 256 << 20
TARGET = 1 / 0.7
"""Seconds over seconds, where the requirement is 0.7 of the throughput."""
READY_S = 60


def figures(site: Running) -> list[Figure]:
    toolkits.ensure()
    print(f"scp, {TURNS} turns …")
    with tempfile.TemporaryDirectory() as name:
        return _measure(site, Path(name))


def _measure(site: Running, folder: Path) -> list[Figure]:
    key, file = folder / "key", folder / "file"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    file.write_bytes(b"\0" * FILE_BYTES)
    offer = wait_for_offer(site.client, site.owner, mode="ssh", via="proxy")
    wish = {"offer_id": offer["id"], "image": BUSYBOX, "mode": "ssh", "ssh_keys": [key.with_suffix(".pub").read_text()]}
    path = f"/v1/contracts/{site.client.post('/v1/contracts', wish | {'disk_gib': 2, 'duration_s': 600})['id']}"
    contract = wait_until(
        lambda: site.client.get(path), lambda seen: seen["status"] == "active", "A way in over ssh", READY_S
    )
    ways = contract["instances"][0]["access"]["ssh"]
    took: dict[str, list[float]] = {"direct": [], "proxy": []}
    wait_until(lambda: _copies(ways["proxy"], key, key), bool, "The tunnel", READY_S)
    for _ in range(TURNS):
        for way, seconds in took.items():
            began = time.monotonic()
            if not _copies(ways[way], key, file):
                raise RuntimeError(f"scp did not get through by {way}")
            seconds.append(time.monotonic() - began)
    site.client.delete(path)
    direct, proxied = median(took["direct"]), median(took["proxy"])
    return [
        Figure(f"scp of {FILE_BYTES >> 20} MiB, direct", direct, None, "s"),
        Figure("scp over the proxy, over direct", proxied / direct, TARGET),
    ]


def _copies(way: dict[str, Any], key: Path, file: Path) -> bool:
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
    }
    command = ["scp", "-F", "/dev/null", "-i", str(key), "-P", str(way["port"])]
    command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    target = f"{way['user']}@{way['address']}:/root/file"
    return subprocess.run([*command, str(file), target], capture_output=True, check=False).returncode == 0
