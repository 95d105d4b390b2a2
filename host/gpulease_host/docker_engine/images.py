"""Images: pulled for who may have them, within the time and the room that there is, and removed when nobody uses them.

An image that is here is not pulled again, with two exceptions. Who rents may want it held against its registry first:
where that answers with another digest it is pulled, else what is here will do. And if anything of its repository was
pulled with a login, its registry has to let in whoever starts it. A pull would not ask for that: Docker takes a
manifest that it knows by digest from its own store. So it is told to look the image up in the registry, which moves no
data.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import quote

from gpulease_host.docker_engine import docker_versions, pull_errors
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.docker_stream import docker_lines
from gpulease_host.docker_engine.image_memory import ImageMemory
from gpulease_host.docker_engine.image_names import ImageName
from gpulease_host.docker_engine.lately import Lately
from gpulease_host.docker_engine.pull_progress import MIB, PullFailedError, PullState
from gpulease_host.engine import (
    EngineError,
    EngineUnavailableError,
    ImageMissingError,
    Order,
    OvertakenError,
    PullWatch,
)

PULL_TIMEOUT_S = 900.0
KEEP_S = 3600.0
POLL_S = 0.25
ROOM_CHECK_S = 1.0
MOST_LAYERS = 500
"""A registry may announce any number, each in a line, and each line costs a sum over all. Docker stacks 127."""
SPARE_BYTES = 256 * MIB
"""What must stay free while a pull goes on: as much as it may write before the next look."""
ASK_S = 10.0
"""How long a registry may take to say whether an image has changed."""
START_SHARE = 0.9
"""Of the time until the control plane gives the start up, so that it hears why."""

Login = Mapping[str, str] | None
RoomBytes = Callable[[], int]


@dataclass(frozen=True)
class ImageTerms:
    pull_timeout_s: float = PULL_TIMEOUT_S
    keep_s: float = KEEP_S
    """An image that was used less long ago than this is not removed."""


@dataclass
class _LoginPulls:
    """`is_private`: whether the repository needs a login whatever comes of those that have not told yet."""

    is_private: bool
    under_way: int = 0


class Images:
    """`room_bytes` answers how much images may still take of the disk."""

    def __init__(
        self,
        api: DockerApi,
        memory: ImageMemory,
        room_bytes: RoomBytes,
        terms: ImageTerms,
        now: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._memory = memory
        self._room_bytes = room_bytes
        self._terms = terms
        self._now = now
        self._elapsed = elapsed
        self._removing = threading.Lock()
        self._noting = threading.Lock()
        self._login_pulls: dict[str, _LoginPulls] = {}
        """By repository, while one is under way."""
        self._digests = Lately[str, str]()

    def provide(self, order: Order, login: Login, watch: PullWatch) -> None:
        """Have the image of the order here, for who has this login.

        Raises ImageMissingError, OvertakenError, EngineUnavailableError.
        """
        errand = _Errand(order.image, watch, self._elapsed, self._elapsed() + self._time_left_s(order))
        here: _Found | None = None
        try:
            name = ImageName.parse(order.image)
            here = self._find(order.image, name)
            if here is not None and not self._memory.needs_login(name.repository):
                if order.pull == "changed" and self._has_changed(name, here, login, errand):
                    self._renew(order.image, name, here, login, errand)
                self._memory.note_used(name.key)
                return
            if self._is_let_in(name, here, login, errand):
                self._memory.note_used(name.key)
            else:
                self._pull(name, login, errand)
                self._note(order.image, name, here)
        except (PullFailedError, RefusedError) as error:
            is_here, why = here is not None, self._why_not_pulled(str(error), login)
            if not is_here and why == pull_errors.NO_IMAGE:
                with suppress(RefusedError):  # containerd keeps what it could not unpack, under this name
                    self._api.remove_image(order.image)
            raise ImageMissingError(pull_errors.sentence(order.image, why, is_here=is_here), str(error)) from error
        if not login:
            self._memory.note_public(name.repository)

    def digest_of(self, image: str, image_id: str) -> str | None:
        """Of what a container was made: by which its registry has it, or its id where it has come from none.

        None while Docker does not say: nothing else waits for this.
        """
        if image_id not in self._digests:
            with suppress(EngineError):
                self._digests[image_id] = self._read_digest(ImageName.parse(image), image_id)
        return self._digests.get(image_id)

    def note_used(self, image: str) -> None:
        self._memory.note_used(ImageName.parse(image).key)

    def _why_not_pulled(self, said: str, login: Login) -> str:
        reads_zstd = docker_versions.reads_zstd(str(self._api.info().get("ServerVersion")))
        return pull_errors.why(said, with_login=bool(login), reads_zstd=reads_zstd)

    def _find(self, image: str, name: ImageName) -> _Found | None:
        """The image of this name. Docker also answers to ids, by which nobody can be let in."""
        found = self._api.inspect_image(image)
        names = () if found is None else (*(found["RepoTags"] or ()), *(found["RepoDigests"] or ()))
        if found is None or not name.is_one_of(names):
            return None
        return _Found(str(found["Id"]), names)

    def _note(self, image: str, name: ImageName, before: _Found | None) -> None:
        """A tag that has moved leaves its former image behind, which is ours to remove as well."""
        now = self._find(image, name)
        if now is None:
            raise EngineUnavailableError(f"Docker broke off the pull of {image}")
        moved = () if before is None or before.id == now.id else (before.id,)
        self._memory.note_pulled(name.key, *moved)

    def _read_digest(self, name: ImageName, image_id: str) -> str:
        found = self._api.inspect_image(image_id) or {}
        named = map(ImageName.parse, found.get("RepoDigests") or ())
        return next((each.digest for each in named if each.digest and each.repository == name.repository), image_id)

    def _has_changed(self, name: ImageName, here: _Found, login: Login, errand: _Errand) -> bool:
        """Whether its registry has another one by now. What has come from no registry is asked nowhere."""
        own = (ImageName.parse(each) for each in here.names)
        if name.digest is not None or not any(each.digest and each.repository == name.repository for each in own):
            return False
        soon = replace(errand, late_at=min(errand.late_at, self._elapsed() + ASK_S))
        try:
            digest = self._digest_in_registry(name, login, soon)
        except (RefusedError, ImageMissingError):
            return False
        return bool(digest) and not ImageName(name.registry, name.path, None, digest).is_one_of(here.names)

    def _renew(self, image: str, name: ImageName, here: _Found, login: Login, errand: _Errand) -> None:
        """Where that fails, what is here will do."""
        with suppress(PullFailedError, RefusedError, ImageMissingError):
            self._pull(name, login, errand)
            self._note(image, name, here)

    def _digest_in_registry(self, name: ImageName, login: Login, errand: _Errand) -> str:
        request, digest = f"GET /distribution/{quote(str(name))}/json", ""
        with docker_lines(self._api.docker_host, request, registry_auth(login), POLL_S) as lines:
            for line in lines:
                errand.mind(PullState())
                if line is not None:
                    digest = str((line.get("Descriptor") or {}).get("digest", ""))
        return digest

    def _is_let_in(self, name: ImageName, here: _Found | None, login: Login, errand: _Errand) -> bool:
        """Whether what is here is what the registry has, for this login. Raises RefusedError when it is not let in.

        By a digest Docker might also give what it has under another name.
        """
        if not self._memory.needs_login(name.repository) and name.digest is None:
            return False
        digest = self._digest_in_registry(name, login, errand)
        named = ImageName(name.registry, name.path, None, digest)
        return here is not None and bool(digest) and named.is_one_of(here.names)

    def _pull(self, name: ImageName, login: Login, errand: _Errand) -> None:
        state = PullState()
        with self._noted(name.repository, login, state):
            self._take(name, login, errand, state)

    @contextmanager
    def _noted(self, repository: str, login: Login, state: PullState) -> Iterator[None]:
        """What comes by a login is private, from before it comes.

        Where a registry has given nothing for any login under way, the note is taken back: else a wrong one would close
        images of this name that came without.
        """
        if not login:
            yield
            return
        with self._noting:
            pulls = self._login_pulls.setdefault(repository, _LoginPulls(self._memory.needs_login(repository)))
            pulls.under_way += 1
            self._memory.note_login(repository)
        gave_nothing = False
        try:
            yield
        except (PullFailedError, RefusedError):
            gave_nothing = state.layers == 0
            raise
        finally:
            with self._noting:
                pulls.under_way -= 1
                pulls.is_private = pulls.is_private or not gave_nothing
                if not pulls.under_way:
                    del self._login_pulls[repository]
                    if not pulls.is_private:
                        self._memory.note_public(repository)

    def _take(self, name: ImageName, login: Login, errand: _Errand, state: PullState) -> None:
        looked_at, roomed_at = float("-inf"), float("-inf")
        roomed_for = state.announced
        request = f"POST /images/create?fromImage={quote(str(name), safe='')}"
        with docker_lines(self._api.docker_host, request, registry_auth(login), POLL_S) as lines:
            for line in lines:
                if line is not None:
                    state.take(line)
                if state.layers > MOST_LAYERS:
                    raise ImageMissingError(pull_errors.sentence(errand.image, pull_errors.LAYERS, is_here=False))
                now = self._elapsed()
                if now - looked_at >= POLL_S:
                    looked_at = now
                    errand.mind(state)
                if now - roomed_at >= ROOM_CHECK_S or roomed_for != state.announced:
                    roomed_at, roomed_for = now, state.announced
                    self._mind_room(errand.image, state)

    def _time_left_s(self, order: Order) -> float:
        most_s = self._terms.pull_timeout_s
        return most_s if order.start_by is None else min(most_s, START_SHARE * (order.start_by - self._now()))

    def _mind_room(self, image: str, state: PullState) -> None:
        """Raises ImageMissingError when what is known to come does not fit."""
        progress = state.progress
        if progress.layers_done == progress.layers:
            return
        needed = SPARE_BYTES + progress.total_bytes - progress.done_bytes
        if self._room_bytes() >= needed:
            return
        self._make_room(needed)
        room = self._room_bytes()
        if room < needed:
            left = f"{max(0, room) // MIB} MiB are left for images, and at least {needed // MIB} MiB are needed"
            raise ImageMissingError(f"{image} could not be pulled. {pull_errors.NO_SPACE} ({left})")

    def _make_room(self, needed_bytes: int) -> None:
        """Remove what nobody uses, the longest unused first. Docker keeps what a container has, also a stopped one."""
        with self._removing:
            for image in self._memory.unused_for(self._terms.keep_s):
                if self._room_bytes() >= needed_bytes:
                    return
                try:
                    self._api.remove_image(image)
                except RefusedError as error:
                    if error.status == 409:
                        self._memory.note_used(image)
                        continue
                    if error.status != 404:
                        raise
                self._memory.forget(image)


@dataclass(frozen=True)
class _Found:
    id: str
    names: Sequence[str]
    """Tags and digests."""


@dataclass(frozen=True)
class _Errand:
    """One pull, and until when it may last."""

    image: str
    watch: PullWatch
    elapsed: Callable[[], float]
    late_at: float

    def mind(self, state: PullState) -> None:
        """Raises OvertakenError, ImageMissingError."""
        if not self.watch.is_wanted():
            raise OvertakenError("It is no longer wanted running.")
        if self.elapsed() >= self.late_at:
            raise ImageMissingError(f"{self.image} could not be pulled. {pull_errors.LATE} ({state.sentence})")
        self.watch.say(state.sentence, state.progress)


def registry_auth(login: Login) -> dict[str, str]:
    """Docker's header for one call. Without a login it is empty, not absent: nobody's own is used instead."""
    value: dict[str, str] = {}
    if login:
        value = {name: login.get(name, "") for name in ("username", "password")}
        value["serveraddress"] = login.get("server", "")
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(value).encode()).decode()}
