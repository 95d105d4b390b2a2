"""What a client sends is what its container gets, byte for byte, through API, Systems Manager, daemon and Docker."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from local.client import ApiError
from local.demo.readings import read_limits
from local.site import Running
from tests.e2e.renting import OBEDIENT, offer_of, rent, request_for, show
from tests.fakes.hostile import HOSTILE, REFUSED
from tests.fakes.planting import plant

NOT_TO_BE = Path("/tmp/pwned")


def test_argv_and_environment_of_a_container_are_what_was_sent(running: Running) -> None:
    NOT_TO_BE.unlink(missing_ok=True)
    env = {f"TEXT_{place}": plant("env", text) if text else "" for place, text in enumerate(fitting(28_000))}
    entrypoint = [*OBEDIENT, *list(HOSTILE.values())[::2]]
    args = list(HOSTILE.values())
    contract = rent(running, entrypoint=entrypoint, args=args, env=env, label=HOSTILE["a log line"])
    process = Path("/proc", str(read_limits(running.docker_host, contract["id"]).pid))
    assert (process / "cmdline").read_bytes() == b"".join(text.encode() + b"\0" for text in [*entrypoint, *args])
    given = (process / "environ").read_bytes().split(b"\0")
    assert sorted(f"{name}={text}".encode() for name, text in env.items()) == sorted(
        each for each in given if each.startswith(b"TEXT_")
    )
    assert show(running, contract)["label"] == HOSTILE["a log line"]
    assert not NOT_TO_BE.exists()
    assert not (process / "root/tmp/pwned").exists()


def fitting(limit_bytes: int) -> list[str]:
    """The texts, as many as all variables together may hold."""
    fitted, left = [], limit_bytes
    for text in sorted((text[:4000] for text in HOSTILE.values()), key=len):
        left -= len(text.encode()) + 60
        fitted += [text] if left > 0 else []
    return fitted


def test_a_program_sees_its_arguments_as_they_were_sent(running: Running, engine: docker.DockerClient) -> None:
    """Written out by the program itself, one a line, in octal: nothing on the way may have a say."""
    texts = [text for text in HOSTILE.values() if len(text) < 200]
    script = f'for each in "$@"; do printf %s "$each" | od -An -v -to1 | tr -d " \\n"; echo; done; {OBEDIENT[-1]}'
    contract = rent(running, args=["sh", "-c", script, "sh", *texts])
    written = engine.containers.get(f"gpulease-{contract['id']}").logs().decode().splitlines()
    assert written == ["".join(f"{byte:03o}" for byte in text.encode()) for text in texts]


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_container_can_be_given_is_refused_and_rents_nothing(running: Running, what: str) -> None:
    before = [each["id"] for each in running.client.get("/v1/contracts")["items"]]
    text = REFUSED[what]
    for changes in ({"args": [text]}, {"entrypoint": [text]}, {"label": text}, {"image": text}, {"args": ["a", text]}):
        with pytest.raises(ApiError, match="400 invalid_request"):
            running.client.post("/v1/contracts", request_for(offer_of(running.client), **changes))
    with pytest.raises(ApiError, match="400 invalid_request"):
        env = {"A": plant("env", text)}
        running.client.post("/v1/contracts", request_for(offer_of(running.client), env=env))
    assert [each["id"] for each in running.client.get("/v1/contracts")["items"]] == before


@pytest.mark.parametrize("image", ["$(touch /tmp/pwned)", "busybox; touch /tmp/pwned", "-v/:/host", "a\nb", "", "ü"])
def test_a_name_that_no_image_can_have_is_refused(running: Running, image: str) -> None:
    with pytest.raises(ApiError, match="400 invalid_request"):
        running.client.post("/v1/contracts", request_for(offer_of(running.client), image=image))
    assert not NOT_TO_BE.exists()
