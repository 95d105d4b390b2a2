"""Containers of tenants on this machine's Docker Engine: see `engine.DockerEngine`."""

from gpulease_host.docker_engine.engine import DockerEngine
from gpulease_host.docker_engine.opening import open_engine

__all__ = ["DockerEngine", "open_engine"]
