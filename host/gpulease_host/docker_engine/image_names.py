"""Names of images, as Docker reads them: which registry, which repository, which tag or digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DOCKER_HUB = "docker.io"


@dataclass(frozen=True)
class ImageName:
    """`alpine` is docker.io, library/alpine, tag latest."""

    registry: str
    path: str
    tag: str | None
    digest: str | None

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Never fails: what is no name, Docker refuses."""
        rest, _, digest = text.partition("@")
        head, slash, tail = rest.rpartition("/")
        name, colon, tag = tail.partition(":")
        registry, path = _split(f"{head}{slash}{name}")
        if not colon and not digest:
            tag = "latest"
        return cls(registry, path, tag or None, digest or None)

    @property
    def repository(self) -> str:
        """What a registry gives access to."""
        return f"{self.registry}/{self.path}"

    @property
    def key(self) -> str:
        """By what Docker keeps and removes it: by the tag only where there is no digest."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    def __str__(self) -> str:
        """In full: without a tag Docker would pull all."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repository}{tag}" + (f"@{self.digest}" if self.digest else "")

    def is_one_of(self, names: Iterable[str]) -> bool:
        """Whether an image with these tags and digests goes by this name; by its id it goes by none."""
        return any(self._is(ImageName.parse(name)) for name in names)

    def _is(self, other: ImageName) -> bool:
        if self.repository != other.repository:
            return False
        return self.digest == other.digest if self.digest else self.tag == other.tag


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, rest
    else:
        registry, path = DOCKER_HUB, name
    if registry == "index.docker.io":
        registry = DOCKER_HUB
    return registry, f"library/{path}" if registry == DOCKER_HUB and "/" not in path else path
