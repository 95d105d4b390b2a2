"""The few calls to Docker that the engine makes, over one kept connection, with its errors turned into ours.

Refused calls carry Docker's own sentence: it is the true reason, and the host's owner can search for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import docker
import docker.errors
import requests
import urllib3.exceptions

from gpulease_host.docker_engine import log_frames
from gpulease_host.docker_engine.log_frames import Frame
from gpulease_host.docker_engine.stuck_containers import StuckContainers
from gpulease_host.engine import EngineError, EngineUnavailableError, StuckError

TIMEOUT_S = 120
LISTENING_TIMEOUT_S = 5
LOOK_TIMEOUT_S = 5
"""Docker has this in its memory."""
STOP_TIMEOUT_S = 10
"""Beyond the grace."""
START_TIMEOUT_S = 120
REMOVE_TIMEOUT_S = 60
SIZE_TIMEOUT_S = 30
PROBE_TIMEOUT_S = 600
HEAD_PIECES = 2
TAR_BLOCK, TAR_KIND = 512, 156
Json = dict[str, Any]
CHUNK_BYTES = 1 << 16
_TIMEOUTS = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
_UNREACHABLE = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)


class RefusedError(EngineError):
    """Docker refused a call; `status` is its HTTP status."""

    code = "docker_refused"

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class DockerApi:
    """Connects on first use and again after Docker was away; safe to use from several threads."""

    def __init__(self, docker_host: str) -> None:
        self.docker_host = docker_host
        self.stuck = StuckContainers(self._is_answered)
        self._lock = threading.Lock()
        self._client: Any = None

    def check_listening(self) -> None:
        """Raises EngineUnavailableError for a Docker that is going away.

        While it stops, and stops containers, it answers on connections that are open and takes no new one.
        """
        with self._calling() as client:
            new = docker.APIClient(self.docker_host, version=client.api_version, timeout=LISTENING_TIMEOUT_S)
            try:
                new.ping()
            finally:
                new.close()

    def info(self, timeout_s: float = TIMEOUT_S) -> Json:
        with self._calling() as client:
            return dict(client._result(client._get(client._url("/info"), timeout=timeout_s), json=True))

    def list_containers(self, label: str, *, all_states: bool = True, timeout_s: float = TIMEOUT_S) -> list[Json]:
        wanted = {"all": int(all_states), "filters": json.dumps({"label": [label]})}
        with self._calling() as client:
            answer = client._get(client._url("/containers/json"), params=wanted, timeout=timeout_s)
            return list(client._result(answer, json=True))

    def inspect_container(self, name: str) -> Json | None:
        """Raises StuckError, as all do that name one container."""
        with self._calling_one(name) as client:
            answer = client._get(client._url("/containers/{0}/json", name), timeout=LOOK_TIMEOUT_S)
            return None if answer.status_code == 404 else dict(client._result(answer, json=True))

    def is_running(self, name: str) -> bool:
        found = self.inspect_container(name)
        return found is not None and bool(found["State"]["Running"])

    def inspect_image(self, image: str) -> Json | None:
        return self._or_none("inspect_image", image)

    def container_with_size(self, name: str) -> Json | None:
        with self._calling_one(name) as client:
            url = client._url("/containers/{0}/json", name)
            response = client._get(url, params={"size": 1}, timeout=SIZE_TIMEOUT_S)
            return dict(response.json()) if response.ok else None

    def create_container(self, name: str, config: Mapping[str, Any]) -> str:
        with self._calling() as client:
            return str(client.create_container_from_config(dict(config), name)["Id"])

    def start_container(self, name: str) -> None:
        with self._calling_one(name) as client:
            url = client._url("/containers/{0}/start", name)
            client._raise_for_status(client._post(url, timeout=START_TIMEOUT_S))

    def stop_container(self, name: str, grace_s: int) -> None:
        with self._calling_one(name) as client:
            url, timeout_s = client._url("/containers/{0}/stop", name), grace_s + STOP_TIMEOUT_S
            client._raise_for_status(client._post(url, params={"t": grace_s}, timeout=timeout_s))

    def remove_container(self, name: str) -> None:
        with self._calling_one(name) as client:
            url, wanted = client._url("/containers/{0}", name), {"force": True, "v": True}
            client._raise_for_status(client._delete(url, params=wanted, timeout=REMOVE_TIMEOUT_S))

    def create_network(self, body: Mapping[str, Any]) -> None:
        with self._calling() as client:
            client._result(client._post_json(client._url("/networks/create"), data=body), json=True)

    def subnets(self) -> list[str]:
        with self._calling() as client:
            pools = [pool for network in client.networks() for pool in network["IPAM"].get("Config") or []]
            return [str(pool["Subnet"]) for pool in pools if "Subnet" in pool]

    def default_mtu(self) -> int | None:
        """Of Docker's own network, where it has one and was told."""
        options = (self._or_none("inspect_network", "bridge") or {}).get("Options") or {}
        return int(options.get("com.docker.network.driver.mtu") or 0) or None

    def network_names(self, label: str) -> list[str]:
        with self._calling() as client:
            return [str(network["Name"]) for network in client.networks(filters={"label": label})]

    def remove_network(self, name: str) -> None:
        with self._calling() as client:
            client.remove_network(name)

    def members(self, network: str) -> list[str]:
        """The names of the containers that Docker counts on it, also of those that are gone."""
        with self._calling() as client:
            return [str(each["Name"]) for each in client.inspect_network(network)["Containers"].values()]

    def disconnect(self, container: str, network: str) -> None:
        with self._calling() as client:
            client.disconnect_container_from_network(container, network, force=True)

    def reconnect(self, container: str, network: str) -> None:
        """Put a container back on a network that was made anew under the same name."""
        with self._calling() as client:
            client.disconnect_container_from_network(container, network, force=True)
            client.connect_container_to_network(container, network)

    def import_image(self, name: str, archive: bytes, changes: Sequence[str]) -> None:
        """What Docker says on the way is not read: without its image a container is not created."""
        repository, _, tag = name.rpartition(":")
        with self._calling() as client:
            client.import_image_from_data(archive, repository, tag, changes=list(changes))

    def remove_image(self, image: str) -> None:
        with self._calling() as client:
            client.remove_image(image)

    def create_exec(self, container: str, command: Sequence[str]) -> str:
        with self._calling_one(container) as client:
            return str(client.exec_create(container, list(command))["Id"])

    def start_exec(self, exec_id: str) -> Iterator[tuple[int, bytes]]:
        """Blocks until it ends; pieces of its output with their stream, 1 or 2."""
        with self._calling() as client:
            for stdout, stderr in client.exec_start(exec_id, stream=True, demux=True):
                yield (2, stderr) if stderr is not None else (1, stdout or b"")

    def inspect_exec(self, exec_id: str) -> Json:
        with self._calling() as client:
            answer = client._get(client._url("/exec/{0}/json", exec_id), timeout=LOOK_TIMEOUT_S)
            return dict(client._result(answer, json=True))

    def logs(
        self, container: str, tail: int | None, since: int | str | None, keep: Callable[[Iterable[Frame]], list[Frame]]
    ) -> list[Frame]:
        """What `keep` takes of its log, each line with its time in front; what comes after that is not read."""
        wanted: Json = {"stdout": 1, "stderr": 1, "timestamps": 1, "tail": "all" if tail is None else tail}
        if since is not None:
            wanted["since"] = since
        with self._calling_one(container) as client:
            response = client._get(client._url("/containers/{0}/logs", container), params=wanted, stream=True)
            with closing(response):
                client._raise_for_status(response)
                return keep(log_frames.frames(response.iter_content(CHUNK_BYTES)))

    def read_head(self, container: str, path: str, size: int) -> bytes | None:
        """How a plain file in it begins; None where there is none at that path.

        Docker reads the container's own files for that, so it may hang on them: it is not waited for long.
        """
        try:
            with self._calling() as client:
                url = client._url("/containers/{0}/archive", container)
                response = client._get(url, params={"path": path}, stream=True, timeout=LOOK_TIMEOUT_S)
                with closing(response):
                    client._raise_for_status(response)
                    return _head_of_file(b"".join(islice(response.iter_content(TAR_BLOCK), HEAD_PIECES)), size)
        except RefusedError:
            return None

    def container_events(self, label: str, since: int) -> Iterator[Json]:
        """Blocks; ends with EngineUnavailableError when Docker goes away."""
        with self._calling() as client:
            yield from client.events(since=since, decode=True, filters={"label": label, "type": "container"})
        raise EngineUnavailableError("Docker closed the stream of events")

    def _or_none(self, method: str, name: str) -> Json | None:
        try:
            with self._calling() as client:
                return dict(getattr(client, method)(name))
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _is_answered(self, name: str) -> bool:
        """Whether Docker says anything of it, or is not there at all."""
        try:
            with self._calling() as client:
                client._get(client._url("/containers/{0}/json", name), timeout=PROBE_TIMEOUT_S)
        except EngineUnavailableError as error:
            return not isinstance(error.__cause__, _TIMEOUTS)
        return True

    @contextmanager
    def _calling_one(self, name: str) -> Iterator[Any]:
        """For a call that names one container: what Docker does not answer it while it goes on, is stuck."""
        if name in self.stuck:
            raise _stuck(name)
        try:
            with self._calling() as client:
                yield client
        except EngineUnavailableError as error:
            if not isinstance(error.__cause__, _TIMEOUTS):
                raise
            self.check_listening()
            self.stuck.add(name)
            raise _stuck(name) from error

    @contextmanager
    def _calling(self) -> Iterator[Any]:
        try:
            yield self._connected()
        except docker.errors.APIError as error:
            raise RefusedError(error.status_code or 500, str(error.explanation or error)) from error
        except (docker.errors.DockerException, *_UNREACHABLE) as error:
            raise EngineUnavailableError(f"Docker does not answer on {self.docker_host}.", str(error)) from error

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = docker.APIClient(base_url=self.docker_host, version="auto", timeout=TIMEOUT_S)
            return self._client


def _stuck(name: str) -> StuckError:
    return StuckError(
        f"Docker hangs on container {name}, and answers for others: its /etc/passwd or /etc/group may be no file. "
        "If nothing else helps, the host's owner can restart Docker."
    )


def _head_of_file(archive: bytes, size: int) -> bytes | None:
    """Of the first entry of a tar that may be cut off."""
    if len(archive) < TAR_BLOCK or archive[TAR_KIND : TAR_KIND + 1] not in (b"0", b"\0"):
        return None
    length = int(archive[124:135].strip(b" \0") or b"0", 8)
    return archive[TAR_BLOCK : TAR_BLOCK + min(length, size)]
