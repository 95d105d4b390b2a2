"""The part of the demo in which a client goes into what it has rented: by ssh, and in a browser."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.client import wait_until
from local.demo.browser import browser, run_cell
from local.demo.narration import Narrator
from local.demo.rental import UnexpectedError
from local.images import BUSYBOX
from local.site import Running

READY_S = 90
CELL = "print(6 * 7)"


@dataclass
class Visit:
    """A contract of mode jupyter. `folder` holds the visitor's key, and the browser's home."""

    site: Running
    tell: Narrator
    picture: Path
    folder: Path
    contract: dict[str, Any] = field(default_factory=dict)

    def rent(self) -> None:
        self.folder.mkdir(parents=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        offer = next(each for each in self.site.client.get("/v1/offers")["items"] if each["num_gpus"] == 1)
        wish = {
            "offer_id": offer["id"],
            "image": BUSYBOX,
            "mode": "jupyter",
            "jupyter_via": "direct",
            "ssh_keys": [self._key.with_suffix(".pub").read_text()],
            "disk_gib": 1,
            "duration_s": 600,
            "label": "demo: ways in",
        }
        made = self.site.client.post("/v1/contracts", wish)
        path = f"/v1/contracts/{made['id']}"
        self.contract = wait_until(
            lambda: self.site.client.get(path), lambda now: now["status"] == "active", "A way in", READY_S
        )
        self.tell.say(f"contract {made['id']}, image {BUSYBOX}: it has neither sshd nor Python of its own")

    def log_in(self) -> None:
        access = self.contract["instances"][0]["access"]["ssh"]
        way = access["direct"]
        known = self.folder / "known_hosts"
        known.write_text(f"[{way['address']}]:{way['port']} {access['host_key']}\n")
        options = ["-F", "/dev/null", "-i", str(self._key), "-o", f"UserKnownHostsFile={known}", "-o", "BatchMode=yes"]
        target = ["-p", str(way["port"]), f"{way['user']}@{way['address']}"]
        said = _output(["ssh", *options, *target, "whoami; hostname; grep -c . /proc/mounts"])
        if not said.startswith("root\n"):
            raise UnexpectedError(f"ssh answered {said!r}.")
        self.tell.say(f"$ {way['command']}\n{' / '.join(said.split())}: the host key is the one that the API told")

    def open_notebook(self) -> None:
        told = self.site.client.get(f"/v1/contracts/{self.contract['id']}/jupyter")
        authority = self.folder / "ca.crt"
        authority.write_text(self.site.client.session.get(f"{self.site.cloud.front_url}/v1/ca.crt", timeout=10).text)
        with browser(self.folder, authority) as driver:
            printed = run_cell(driver, f"{told['url']}lab?token={told['token']}", CELL)
            driver.save_screenshot(str(self.picture))
        if printed.strip() != "42":
            raise UnexpectedError(f"The notebook printed {printed!r}.")
        self.tell.say(
            f"Chromium at {told['url']}: {CELL} printed {printed.strip()}, with no warning of the certificate"
        )
        self.tell.say(f"a picture of it is in {self.picture}")

    def end(self) -> None:
        self.site.client.delete(f"/v1/contracts/{self.contract['id']}")
        path = f"/v1/contracts/{self.contract['id']}"
        wait_until(lambda: self.site.client.get(path), lambda now: now["status"] == "deleted", "The end", READY_S)

    @property
    def _key(self) -> Path:
        return self.folder / "key"


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise UnexpectedError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
