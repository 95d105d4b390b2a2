"""The part of the demo in which a client goes into what it has rented: by ssh, and in a browser."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from local.client import wait_until
from local.demo.browser import browser, run_cell
from local.demo.narration import Narrator
from local.demo.rental import UnexpectedError
from local.images import BUSYBOX
from local.offers import wait_for_offer
from local.site import Running

READY_S = 300
TUNNEL_S = 120
"""Both only guard against waiting for ever."""
CELL = "print(6 * 7)"


@dataclass
class Visit:
    """A contract of mode jupyter, whose JupyterLab is reached one way. `folder` is the visitor's home.

    `authority` is the certificate that the browser is told to trust; without, it is the service's own.
    """

    site: Running
    tell: Narrator
    via: Literal["direct", "proxy"]
    picture: Path
    folder: Path
    authority: Path | None = None
    contract: dict[str, Any] = field(default_factory=dict)

    def rent(self) -> None:
        self.folder.mkdir(parents=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        offer = wait_for_offer(self.site.client, self.site.owner, mode="jupyter", via=self.via)
        wish = {
            "offer_id": offer["id"],
            "image": BUSYBOX,
            "mode": "jupyter",
            "jupyter_via": self.via,
            "ssh_keys": [self._key.with_suffix(".pub").read_text()],
            "disk_gib": 1,
            "duration_s": 600,
            "label": "demo: ways in",
        }
        made = self.site.client.post("/v1/contracts", wish)
        path = f"/v1/contracts/{made['id']}"
        self.contract = wait_until(
            lambda: self.site.client.get(path), lambda now: now["status"] != "pending", "A way in", READY_S
        )
        if self.contract["status"] != "active":
            raise UnexpectedError(f"The contract is {self.contract['status']}: {self.contract['reason']}")
        self.tell.say(f"contract {made['id']}, image {BUSYBOX}: it has neither sshd nor Python of its own")

    def log_in(self) -> None:
        """By every way that there is."""
        access = self.contract["instances"][0]["access"]["ssh"]
        for name in ("direct", "proxy"):
            if access[name] is not None:
                said = self._over_ssh(access[name], access["host_key"])
                self.tell.say(f"{name}: $ {access[name]['command']}\n{said}: the host key is the one that the API told")

    def _over_ssh(self, way: dict[str, Any], host_key: str) -> str:
        known = self.folder / "known_hosts"
        known.write_text(f"[{way['address']}]:{way['port']} {host_key}\n")
        options = ["-F", "/dev/null", "-i", str(self._key), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        target = ["-p", str(way["port"]), f"{way['user']}@{way['address']}"]
        deadline = time.monotonic() + TUNNEL_S  # of a proxy's, which opens within seconds
        while True:
            try:
                said = _output(["ssh", *options, *target, "whoami; hostname"])
                break
            except UnexpectedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        if not said.startswith("root\n"):
            raise UnexpectedError(f"ssh answered {said!r}.")
        return " / ".join(said.split())

    def open_notebook(self) -> None:
        told = self.site.client.get(f"/v1/contracts/{self.contract['id']}/jupyter")
        with browser(self.folder, self.authority or self._download_authority()) as driver:
            printed = run_cell(driver, f"{told['url']}lab?token={told['token']}", CELL)
            driver.save_screenshot(str(self.picture))
        if printed.strip() != "42":
            raise UnexpectedError(f"The notebook printed {printed!r}.")
        self.tell.say(f"Chromium at {told['url']} had no warning\n{CELL} printed {printed.strip()}")
        self.tell.say(f"a picture of it is in {self.picture}")

    def _download_authority(self) -> Path:
        path = self.folder / "ca.crt"
        path.write_text(self.site.client.session.get(f"{self.site.cloud.front_url}/v1/ca.crt", timeout=10).text)
        return path

    def end(self) -> None:
        self.site.client.delete(f"/v1/contracts/{self.contract['id']}")
        path = f"/v1/contracts/{self.contract['id']}"
        wait_until(lambda: self.site.client.get(path), lambda now: now["status"] == "deleted", "The end", READY_S)

    @property
    def _key(self) -> Path:
        return self.folder / "key"


def _output(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=READY_S, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise UnexpectedError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
