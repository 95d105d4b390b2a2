"""Images from a real registry with a login, and from ones that fail: pulled, refused with the true reason, let go."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gpulease_host.docker_engine import DockerEngine, pull_errors
from gpulease_host.docker_engine.docker_api import DockerApi, RefusedError
from gpulease_host.docker_engine.image_memory import ImageMemory
from gpulease_host.docker_engine.images import SPARE_BYTES, Images, ImageTerms
from gpulease_host.docker_engine.pull_progress import PullState
from gpulease_host.docker_engine.ways_in import WaysIn
from gpulease_host.engine import ImageMissingError, Order, OvertakenError, Progress, PullWatch, Secrets
from gpulease_host.toolkit.store import ToolkitStore
from local import images
from local.images import BUSYBOX
from tests.fakes.planting import plant
from tests.host.docker_engine.bench import MIB, Bench, wait_until
from tests.host.docker_engine.disks import storage_of_bench
from tests.host.docker_engine.faulty_registry import Fault, FaultyRegistry, serve
from tests.host.docker_engine.private_images import LOGIN, PrivateImages

pytestmark = pytest.mark.docker
ROOMY = 1 << 40
WRONG = {"username": LOGIN["username"], "password": plant("wrong"), "server": ""}


@dataclass
class Heard:
    """What a pull said, and whether it is still wanted."""

    is_wanted: bool = True
    sentences: list[str] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def watch(self) -> PullWatch:
        return PullWatch(lambda: self.is_wanted, self._hear)

    def _hear(self, sentence: str, progress: Progress) -> None:
        self.sentences.append(sentence)
        self.progress.append(progress)


@pytest.fixture
def faulty(bench: Bench) -> Iterator[Callable[[Fault], FaultyRegistry]]:
    opened = []

    def open_one(fault: Fault) -> FaultyRegistry:
        opened.append(serve(fault))
        return opened[-1].__enter__()

    yield open_one
    for each in opened:
        each.__exit__(None, None, None)


def images_of(
    bench: Bench, memory: ImageMemory | None = None, room: Callable[[], int] = lambda: ROOMY, **terms: float
) -> Images:
    return Images(DockerApi(bench.docker_host), memory or forgetful(), room, ImageTerms(**terms))


def forgetful() -> ImageMemory:
    return ImageMemory(None, time.time)


def is_here(bench: Bench, name: str) -> bool:
    return bool(bench.client.images(name, quiet=True))


def why_not(pulls: Images, order: Order, login: dict[str, str] | None = None) -> str:
    with pytest.raises(ImageMissingError) as caught:
        pulls.provide(order, login, Heard().watch())
    return str(caught.value)


def test_a_private_image_starts_with_its_login_and_without_being_kept_anywhere(
    bench: Bench, private: PrivateImages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    order = bench.order(image=private.push())
    bench.start(order, "sleep", "600", login=private.login)
    assert bench.seen(order).status == "running"
    assert list(tmp_path.rglob("*")) == []


def test_the_owners_own_login_lets_no_tenant_in(
    bench: Bench, private: PrivateImages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Docker's own programs would use what the machine's owner is logged in with."""
    auth = base64.b64encode("{username}:{password}".format(**LOGIN).encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {private.registry.address: {"auth": auth}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert pull_errors.NO_LOGIN in why_not(images_of(bench), bench.order(image=private.push()))


@pytest.mark.parametrize("login", [WRONG, {**WRONG, "username": "nobody"}])
def test_a_wrong_login_is_refused_and_says_so_without_it(
    bench: Bench, private: PrivateImages, login: dict[str, str]
) -> None:
    order = bench.order(image=private.push())
    reason = why_not(images_of(bench), order, login)
    assert pull_errors.NOT_LET_IN in reason
    assert WRONG["password"] not in reason
    assert not is_here(bench, order.image)


def test_an_image_that_the_registry_does_not_have_is_named(bench: Bench, private: PrivateImages) -> None:
    order = bench.order(image=private.name())
    assert why_not(images_of(bench), order, private.login).startswith(
        f"{order.image} could not be pulled. {pull_errors.NO_SUCH_IMAGE}"
    )


def test_a_pull_tells_how_far_it_is(bench: Bench, private: PrivateImages) -> None:
    heard = Heard()
    images_of(bench).provide(bench.order(image=private.push(size_bytes=24 * MIB)), private.login, heard.watch())
    assert heard.sentences[0] == "Pulls its image: asks the registry."
    known = [each for each in heard.progress if each.layers]
    assert known
    assert all(each.layers == 1 and each.done_bytes <= each.total_bytes for each in known)
    assert known[-1].total_bytes >= 24 * MIB


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("other platform", pull_errors.OTHER_PLATFORM),
        ("no image", pull_errors.NO_IMAGE),
        ("corrupt", pull_errors.BROKEN),
        ("rate limit", pull_errors.RATE_LIMIT),
    ],
)
def test_a_failure_has_its_true_reason(
    bench: Bench, faulty: Callable[[Fault], FaultyRegistry], fault: Fault, said: str
) -> None:
    order = bench.order(image=faulty(fault).image)
    assert said in why_not(images_of(bench), order)
    assert not is_here(bench, order.image)


def test_nobody_listens_at_the_registry(bench: Bench) -> None:
    assert pull_errors.UNREACHABLE in why_not(images_of(bench), bench.order(image="127.0.0.1:9/no/such:1"))


def test_what_is_no_name_is_refused(bench: Bench) -> None:
    assert pull_errors.BAD_NAME in why_not(images_of(bench), bench.order(image="no/such:image/name"))


def test_a_layer_that_breaks_off_is_asked_for_again(bench: Bench, faulty: Callable[[Fault], FaultyRegistry]) -> None:
    registry, heard = faulty("breaks off once"), Heard()
    images_of(bench).provide(bench.order(image=registry.image), None, heard.watch())
    assert registry.has_broken_off
    if storage_of_bench(bench).snapshots is None:  # containerd goes on without a word
        assert any("broke off" in sentence for sentence in heard.sentences)
    assert is_here(bench, registry.image)
    bench.client.remove_image(registry.image)


@pytest.mark.parametrize("fault", ["hangs", "hangs in a layer", "is slow"])
def test_a_registry_that_hangs_or_is_slow_is_left_when_the_time_is_over(
    bench: Bench, faulty: Callable[[Fault], FaultyRegistry], fault: Fault
) -> None:
    registry = faulty(fault)
    reason = why_not(images_of(bench, pull_timeout_s=1.5), bench.order(image=registry.image))
    assert pull_errors.LATE in reason
    assert fault != "is slow" or registry.gave_up.wait(10), "Docker goes on"


def test_a_pull_ends_before_the_control_plane_gives_the_start_up(
    bench: Bench, faulty: Callable[[Fault], FaultyRegistry]
) -> None:
    start_by = int(time.time()) + 4
    reason = why_not(images_of(bench), bench.order(image=faulty("hangs").image, start_by=start_by))
    assert pull_errors.LATE in reason
    assert time.time() < start_by


def test_a_pull_that_is_no_longer_wanted_is_let_go(bench: Bench, faulty: Callable[[Fault], FaultyRegistry]) -> None:
    registry, heard, ended = faulty("is slow"), Heard(), threading.Event()

    def pull() -> None:
        with pytest.raises(OvertakenError):
            images_of(bench).provide(bench.order(image=registry.image), None, heard.watch())
        ended.set()

    threading.Thread(target=pull, daemon=True).start()
    assert registry.is_asked.wait(20)
    heard.is_wanted = False
    assert ended.wait(10)
    assert registry.gave_up.wait(10), "Docker goes on"
    assert not is_here(bench, registry.image)


def test_an_image_that_is_here_is_not_pulled_again(bench: Bench) -> None:
    heard = Heard()
    images_of(bench, pull_timeout_s=0.001).provide(bench.order(image=BUSYBOX), None, heard.watch())
    assert heard.sentences == []


def test_two_that_want_the_same_image_share_one_download(bench: Bench, private: PrivateImages) -> None:
    name = private.push(size_bytes=32 * MIB)
    pulls, failures = images_of(bench), list[Exception]()

    def pull() -> None:
        try:
            pulls.provide(bench.order(image=name), private.login, Heard().watch())
        except ImageMissingError as error:
            failures.append(error)

    threads = [threading.Thread(target=pull) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    wait_until(lambda: len(private.downloads(name, at_least=32 * MIB)) > 0, 5)
    assert len(private.downloads(name, at_least=32 * MIB)) == 1


def test_what_came_here_with_a_login_starts_only_for_who_is_let_in(bench: Bench, private: PrivateImages) -> None:
    pulls, order = images_of(bench), bench.order(image=private.push())
    pulls.provide(order, private.login, Heard().watch())
    before = len(private.downloads(order.image, at_least=MIB))
    assert pull_errors.NO_LOGIN in why_not(pulls, order)
    assert pull_errors.NOT_LET_IN in why_not(pulls, order, WRONG)
    pulls.provide(order, private.login, Heard().watch())
    assert len(private.downloads(order.image, at_least=MIB)) == before, "nothing is downloaded again"


def test_a_login_that_brought_nothing_closes_nothing(bench: Bench, private: PrivateImages) -> None:
    """Else anybody could close an owner's image for everybody, by a tag of it that is not there."""
    memory, order = forgetful(), bench.order(image=private.name())
    repository = order.image.rpartition(":")[0]
    assert why_not(images_of(bench, memory), order, private.login)
    assert not memory.needs_login(repository)
    kept = bench.order(image=private.push())
    images_of(bench, memory).provide(kept, private.login, Heard().watch())
    assert memory.needs_login(kept.image.rpartition(":")[0])


def test_a_login_that_fails_beside_one_that_is_let_in_opens_nothing(bench: Bench, private: PrivateImages) -> None:
    memory, order = forgetful(), bench.order(image=private.push())
    pulls = images_of(bench, memory)
    repository = order.image.rpartition(":")[0]
    with pytest.raises(RefusedError), pulls._noted(repository, WRONG, PullState()):
        pulls.provide(order, private.login, Heard().watch())
        raise RefusedError(401, "unauthorized")
    assert memory.needs_login(repository)


def test_no_other_name_of_a_private_image_starts_it(bench: Bench, private: PrivateImages) -> None:
    pulls, order = images_of(bench), bench.order(image=private.push())
    pulls.provide(order, private.login, Heard().watch())
    found = bench.client.inspect_image(order.image)
    image_id = str(found["Id"])
    for name in (image_id, image_id.removeprefix("sha256:"), image_id[7:19], *found["RepoDigests"]):
        assert why_not(pulls, bench.order(image=name)), name
    pulls.provide(bench.order(image=found["RepoDigests"][0]), private.login, Heard().watch())


def test_without_the_registrys_word_a_private_image_does_not_start(
    bench: Bench, faulty: Callable[[Fault], FaultyRegistry]
) -> None:
    memory, registry = forgetful(), faulty("breaks off once")
    order = bench.order(image=registry.image)
    images_of(bench, memory).provide(order, None, Heard().watch())
    memory.note_login(order.image.rpartition(":")[0])
    registry.fault = "hangs"
    reason = why_not(images_of(bench, memory, pull_timeout_s=1), order)
    bench.client.remove_image(order.image)
    assert pull_errors.LATE in reason


def test_what_the_registry_gives_everybody_is_private_no_more(
    bench: Bench, faulty: Callable[[Fault], FaultyRegistry]
) -> None:
    memory, registry = forgetful(), faulty("breaks off once")
    order = bench.order(image=registry.image)
    repository = order.image.rpartition(":")[0]
    images_of(bench, memory).provide(order, dict(WRONG), Heard().watch())
    assert memory.needs_login(repository)
    images_of(bench, memory).provide(order, None, Heard().watch())
    bench.client.remove_image(order.image)
    assert not memory.needs_login(repository)


def test_a_tag_that_moved_in_a_private_registry_is_pulled_anew(bench: Bench, private: PrivateImages) -> None:
    memory, name = forgetful(), private.push()
    pulls, order = images_of(bench, memory), bench.order(image=name)
    pulls.provide(order, private.login, Heard().watch())
    first = str(bench.client.inspect_image(name)["Id"])
    bench.client.tag(name, name.rpartition(":")[0], "kept")
    private.push(name)
    bench.client.tag(first, name.rpartition(":")[0], "1")
    pulls.provide(order, private.login, Heard().watch())
    assert bench.client.inspect_image(name)["Id"] != first
    assert first in memory.unused_for(-1)


def test_a_moved_tag_is_pulled_where_that_is_wanted_and_its_registry_answers(
    bench: Bench, private: PrivateImages
) -> None:
    name = private.push()
    order, repository = bench.order(image=name), name.rpartition(":")[0]
    images_of(bench).provide(order, private.login, Heard().watch())
    first = str(bench.client.inspect_image(name)["Id"])
    bench.client.tag(name, repository, "kept")
    private.push(name)
    bench.client.tag(first, repository, "1")
    changed = replace(order, pull="changed")
    for wish, login, moves in ((order, private.login, False), (changed, WRONG, False), (changed, private.login, True)):
        pulls = images_of(bench)
        pulls.provide(wish, login, Heard().watch())
        found = bench.client.inspect_image(name)
        assert (found["Id"] != first) is moves
    assert f"{repository}@{pulls.digest_of(name, str(found['Id']))}" in found["RepoDigests"]


def test_an_image_for_which_there_is_no_room_is_refused_and_leaves_nothing(
    bench: Bench, private: PrivateImages
) -> None:
    order = bench.order(image=private.push(size_bytes=48 * MIB))
    root = bench.client.info()["DockerRootDir"]
    before = shutil.disk_usage(root).free
    pulls = images_of(bench, room=lambda: SPARE_BYTES + 16 * MIB - (before - shutil.disk_usage(root).free))
    assert pull_errors.NO_SPACE in why_not(pulls, order, private.login)
    assert not is_here(bench, order.image)
    wait_until(lambda: shutil.disk_usage(root).free > before - 16 * MIB, 60)


def test_room_is_made_of_the_longest_unused_and_never_of_what_a_container_has(
    bench: Bench, private: PrivateImages
) -> None:
    clock = [1_000_000.0]
    memory = ImageMemory(None, lambda: clock[0])
    names = [private.push() for _ in range(5)]
    stopped = bench.order(image=names[0])
    bench.start(stopped, "true", login=private.login)
    bench.exited(stopped)
    for name in names[:4]:
        images_of(bench, memory).provide(bench.order(image=name), private.login, Heard().watch())
        clock[0] += 1000
    # Two of them have to go before there is room; the third of those that may go has not been unused for long enough.
    pulls = images_of(bench, memory, lambda: ROOMY if not is_here(bench, names[2]) else 0, keep_s=500)
    memory.note_used(names[3])
    pulls.provide(bench.order(image=names[4]), private.login, Heard().watch())
    assert [is_here(bench, name) for name in names] == [True, False, False, True, True]


def test_an_image_that_somebody_else_brought_is_never_removed(bench: Bench, private: PrivateImages) -> None:
    theirs, wanted = private.push(), private.push()
    images.build(bench.client, theirs)
    refused = images_of(bench, room=lambda: 0, keep_s=-1)
    assert pull_errors.NO_SPACE in why_not(refused, bench.order(image=wanted), private.login)
    assert is_here(bench, theirs)


def test_images_leave_alone_what_was_promised_to_tenants(bench: Bench, private: PrivateImages, tmp_path: Path) -> None:
    order, file = bench.order(image=private.push()), tmp_path / "images"
    file.write_text(json.dumps({"promised": {"77": 1 << 60}}))
    ways_in = WaysIn(tmp_path, ToolkitStore(tmp_path))
    engine = DockerEngine(bench.docker_host, 77, bench.gpus, ways_in, images_path=file)
    secrets = Secrets(login=private.login)
    with pytest.raises(ImageMissingError, match=pull_errors.NO_SPACE):
        engine.pull(order, secrets, Heard().watch())
    file.unlink()
    reserve_bytes = 1 << 30
    engine = DockerEngine(
        bench.docker_host, 77, bench.gpus, ways_in, images_path=file, image_reserve_bytes=reserve_bytes
    )
    engine.pull(order, secrets, Heard().watch())
    kept = json.loads(file.read_text())
    assert kept["promised"] == {"77": engine.inventory()["disk_bytes"]}
    assert kept["with_login"] == [order.image.rpartition(":")[0]]
    assert list(kept["pulled"]) == [order.image]
    assert LOGIN["password"] not in file.read_text()


def test_a_stopped_instance_starts_again_without_its_registry(bench: Bench, private: PrivateImages) -> None:
    order = bench.order(image=private.push())
    bench.start(order, "sleep", "600", login=private.login)
    bench.engine.stop(order.instance_id, grace_s=0)
    bench.start(order, "sleep", "600", login=WRONG)
    assert bench.seen(order).status == "running"
