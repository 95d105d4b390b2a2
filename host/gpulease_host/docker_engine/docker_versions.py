"""What a Docker can do, by its version."""

from __future__ import annotations

FIRST_WITH_ZSTD = 23
FIRST_WITH_ANNOTATIONS = 24


def reads_zstd(docker_version: str) -> bool:
    """Layers of that compression."""
    return _is_at_least(docker_version, FIRST_WITH_ZSTD)


def passes_annotations(docker_version: str) -> bool:
    """On to its runtime, for which some are properties of the container's unit of systemd."""
    return _is_at_least(docker_version, FIRST_WITH_ANNOTATIONS)


def _is_at_least(docker_version: str, first: int) -> bool:
    """One that does not say its version like a release is taken for a new one."""
    major = docker_version.partition(".")[0]
    return not major.isdigit() or int(major) >= first
