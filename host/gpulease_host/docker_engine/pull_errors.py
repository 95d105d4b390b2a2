"""Why an image could not be pulled, in a sentence that says what to do next. Docker's own words are for the log."""

from __future__ import annotations

NO_SUCH_IMAGE = "The registry has no such image: check its name and tag."
NOT_LET_IN = "The registry did not let this login pull it: check the image's name, and server, username and password."
NO_LOGIN = "There is no such image, or it is private: check its name, or give a login."
OTHER_PLATFORM = "The image is not made for this host's kind of processor: choose a tag that is, or another host."
NO_IMAGE = "This is not an image that runs as a container: choose another."
NO_SPACE = "The host's disk has no room for it: choose a smaller image, or another host."
RATE_LIMIT = "The registry lets this host pull no more for now: give a login, or try again later."
UNTRUSTED = "The registry's certificate is not trusted by this host: use a registry with a public one."
UNREACHABLE = "The registry cannot be reached from this host: check its name, or try again later."
BROKEN = "The registry sent something else than it announced: push the image again, or try again later."
REGISTRY_FAULT = "The registry has a fault: try again later."
BAD_NAME = "This is not the name of an image: write it as registry/repository:tag."
LAYERS = "It has more layers than Docker can stack, which are 127: build it with fewer steps, or choose another."
LATE = "The time for it is over: try again, or choose a smaller image, a faster registry or another host."
NO_ZSTD = (
    "The host's Docker is older than 23.0 and cannot read layers compressed by zstd, which these seem to be: choose a "
    "tag with gzip layers, or another host."
)
UNKNOWN = "This host's Docker could not pull it: try again, or choose another host. Its log says what Docker said."

UNREAD_LAYER = ("invalid tar header", "zstd")

# In this order, because messages quote names and addresses that may hold the signs of others.
_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("no space left", "disk quota exceeded"), NO_SPACE),
    (("toomanyrequests", "too many requests", "rate limit"), RATE_LIMIT),
    (("invalid reference format", "invalid repository name", "invalid tag format"), BAD_NAME),
    (("verification failed", "digest mismatch", "unexpected commit digest", "invalid checksum", "invalid tar"), BROKEN),
    (("no matching manifest", "no match for platform", "does not match the specified platform"), OTHER_PLATFORM),
    (("unsupported media type", "mediatype in manifest", "encountered remote", "from content store"), NO_IMAGE),
    (("manifest unknown", "name unknown"), NO_SUCH_IMAGE),
    (("no basic auth credentials", "unauthorized", "access denied", "denied: ", "forbidden"), NOT_LET_IN),
    (("x509: ", "certificate", "server gave http response to https client", "tls: "), UNTRUSTED),
    (("no such host", "connection refused", "timeout", "deadline exceeded", "unreachable"), UNREACHABLE),
    (("unexpected http status", "internal server error", "bad gateway", "service unavailable"), REGISTRY_FAULT),
    (("eof", "connection reset", "broken pipe", "request canceled"), UNREACHABLE),
    (("not found",), NO_SUCH_IMAGE),
)


def why(said: str, *, with_login: bool, reads_zstd: bool = True) -> str:
    """`said` is what Docker answered."""
    lowered = said.lower()
    if not reads_zstd and any(sign in lowered for sign in UNREAD_LAYER):
        return NO_ZSTD
    found = next((sentence for signs, sentence in _SIGNS if any(sign in lowered for sign in signs)), UNKNOWN)
    return NO_LOGIN if found is NOT_LET_IN and not with_login else found


def sentence(image: str, reason: str, *, is_here: bool) -> str:
    failed = "is private, so its registry is asked before it starts" if is_here else "could not be pulled"
    return f"{image} {failed}. {reason}"
