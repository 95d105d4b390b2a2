"""Private images: a real registry with a login, and images of this machine's busybox pushed into it."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass, field
from typing import Any

from gpulease_host.docker_engine.images import registry_auth
from local import images
from local.registry import Registry
from tests.fakes.planting import plant

LOGIN = {"username": plant("user"), "password": plant("password")}
PASSWORDS = {LOGIN["username"]: LOGIN["password"]}
_NUMBERS = itertools.count()


@dataclass
class PrivateImages:
    """What is pushed is not kept on this machine, and what a test pulls is removed after it."""

    registry: Registry
    client: Any
    made: list[str] = field(default_factory=list)

    @property
    def login(self) -> dict[str, str]:
        return {"server": self.registry.address, **LOGIN}

    def name(self) -> str:
        """Of an image that nobody has yet."""
        name = f"{self.registry.address}/private/image-{os.getpid()}-{next(_NUMBERS)}:1"
        self.made.append(name)
        return name

    def push(self, name: str | None = None, *, size_bytes: int = 4096, changes: tuple[str, ...] = ()) -> str:
        """An image with a layer of its own that does not compress; its name."""
        name = name or self.name()
        images.build(self.client, name, changes=changes, files={"root/random": os.urandom(size_bytes)})
        repository, _, tag = name.rpartition(":")
        url = self.client._url("/images/{0}/push", repository)
        answer = self.client._post(url, params={"tag": tag}, headers=registry_auth(self.login)).text
        assert "error" not in answer, answer
        self.client.remove_image(name)
        return name

    def downloads(self, name: str, *, at_least: int = 0) -> list[int]:
        """The sizes of what the registry has sent of an image."""
        path = re.escape(name.partition("/")[2].rpartition(":")[0])
        sent = re.findall(rf'"GET /v2/{path}/blobs/\S+ HTTP/1.1" 200 (\d+)', self.registry.log)
        return [int(size) for size in sent if int(size) >= at_least]

    def clear(self) -> None:
        for name in self.made:
            for found in self.client.images(name.rpartition(":")[0], quiet=True, all=True):
                self.client.remove_image(found, force=True)
        self.made.clear()
