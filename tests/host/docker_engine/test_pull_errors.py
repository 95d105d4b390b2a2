"""Docker's words, as it was heard to say them, and what a client is told to do."""

from __future__ import annotations

import pytest

from gpulease_host.docker_engine import docker_versions, pull_errors
from gpulease_host.report import MOST_REASON

HEX = "401403" * 10 + "dead"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ('Head "http://127.0.0.1:5000/v2/x/manifests/1": no basic auth credentials', pull_errors.NOT_LET_IN),
        ("unauthorized: authentication required", pull_errors.NOT_LET_IN),
        (
            "pull access denied for x, repository does not exist or may require 'docker login': denied: requested "
            "access to the resource is denied",
            pull_errors.NOT_LET_IN,
        ),
        ("manifest for 127.0.0.1:5000/x:9 not found: manifest unknown: manifest unknown", pull_errors.NO_SUCH_IMAGE),
        ("manifest for denied/forbidden:9 not found: manifest unknown: manifest unknown", pull_errors.NO_SUCH_IMAGE),
        ('Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused', pull_errors.UNREACHABLE),
        (
            'Get "https://x.example/v2/": dial tcp: lookup x.example on 127.0.0.53:53: no such host',
            pull_errors.UNREACHABLE,
        ),
        (
            "net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
            pull_errors.UNREACHABLE,
        ),
        ("unexpected EOF", pull_errors.UNREACHABLE),
        ("no matching manifest for linux/amd64 in the manifest list entries", pull_errors.OTHER_PLATFORM),
        ("no match for platform in manifest: not found", pull_errors.OTHER_PLATFORM),
        (f"cannot read from content store: content digest sha256:{HEX}: not found", pull_errors.NO_IMAGE),
        (
            "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
            pull_errors.NO_SPACE,
        ),
        ("failed to register layer: write /x: disk quota exceeded", pull_errors.NO_SPACE),
        ("toomanyrequests: You have reached your pull rate limit.", pull_errors.RATE_LIMIT),
        ("invalid reference format: repository name must be lowercase", pull_errors.BAD_NAME),
        ("unsupported media type application/vnd.cncf.helm.config.v1+json", pull_errors.NO_IMAGE),
        (f"filesystem layer verification failed for digest sha256:{HEX}", pull_errors.BROKEN),
        ("x509: certificate signed by unknown authority", pull_errors.UNTRUSTED),
        ("http: server gave HTTP response to HTTPS client", pull_errors.UNTRUSTED),
        ("received unexpected HTTP status: 500 Internal Server Error", pull_errors.REGISTRY_FAULT),
        ("something that Docker has not said yet", pull_errors.UNKNOWN),
    ],
)
def test_each_has_its_reason(said: str, told: str) -> None:
    assert pull_errors.why(said, with_login=True) == told


def test_without_a_login_an_image_that_is_private_and_one_that_is_not_there_look_alike() -> None:
    assert pull_errors.why("unauthorized: authentication required", with_login=False) == pull_errors.NO_LOGIN


def test_nothing_that_docker_said_is_passed_on_and_what_to_do_is_not_cut_off() -> None:
    image = "registry.example/" + "x" * 200 + ":1"
    reason = pull_errors.sentence(image, pull_errors.why("unexpected EOF", with_login=True), is_here=True)
    assert pull_errors.UNREACHABLE in reason[:MOST_REASON]
    assert "EOF" not in reason


@pytest.mark.parametrize(
    ("version", "told"),
    [("20.10.24+dfsg1", pull_errors.NO_ZSTD), ("23.0.1", pull_errors.BROKEN), ("dev", pull_errors.BROKEN)],
)
def test_layers_that_an_old_docker_cannot_read_are_not_broken(version: str, told: str) -> None:
    said = "failed to register layer: Error processing tar file(exit status 1): archive/tar: invalid tar header"
    assert pull_errors.why(said, with_login=True, reads_zstd=docker_versions.reads_zstd(version)) == told
