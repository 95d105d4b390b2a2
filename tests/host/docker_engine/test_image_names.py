"""Names of images are read as Docker reads them."""

from __future__ import annotations

import pytest

from gpulease_host.docker_engine.image_names import ImageName

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "key"),
    [
        ("alpine", "docker.io/library/alpine:latest", "docker.io/library/alpine:latest"),
        ("alpine:3", "docker.io/library/alpine:3", "docker.io/library/alpine:3"),
        ("org/app:1", "docker.io/org/app:1", "docker.io/org/app:1"),
        ("index.docker.io/org/app:1", "docker.io/org/app:1", "docker.io/org/app:1"),
        ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest", "ghcr.io/a/b:latest"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
    ],
)
def test_a_name_in_full(text: str, full: str, key: str) -> None:
    assert (str(ImageName.parse(text)), ImageName.parse(text).key) == (full, key)


def test_an_image_goes_by_its_tags_and_digests_and_not_by_its_id() -> None:
    names = ["alpine:3", f"ghcr.io/a/b@{DIGEST}"]
    for name in ("alpine:3", "docker.io/library/alpine:3", f"ghcr.io/a/b@{DIGEST}", f"ghcr.io/a/b:9@{DIGEST}"):
        assert ImageName.parse(name).is_one_of(names), name
    for name in ("alpine", "ghcr.io/a/b", f"alpine@{DIGEST}", "c54febd2c0d8", DIGEST, "a" * 64):
        assert not ImageName.parse(name).is_one_of(names), name
