"""Why what a machine sent is not believed: for the log, and for whoever an alarm sends there.

The machine itself is told in a sentence. docs/deploy.md says what to do about each.
"""

from enum import StrEnum, auto


class Why(StrEnum):
    MALFORMED = auto()
    """It cannot be read, or is not what it should be."""
    OVERSIZED = auto()
    NO_TOKEN = auto()
    UNKNOWN_HOST = auto()
    OTHER_KEY = auto()
    """It names another machine key than the host's present one."""
    FORGED = auto()
    """The signature does not hold."""
    OTHER_REQUEST = auto()
    """It was signed for another method, path, body, host or key."""
    FOREIGN = auto()
    """It speaks of what is another host's."""
    STALE = auto()
    """Too old, from the future, or good for too long."""
    REPEATED = auto()
    """A report that was taken in before, or that a later one has overtaken."""
    QUARANTINED = auto()
    RETIRED = auto()
    """The host was declared lost, or its key revoked."""
    NOT_CURRENT = auto()
    """An older generation or lease."""
    OVER = auto()
    """The contract has ended."""
    UNKNOWN_TOKEN = auto()
    """Of registration, like the two below."""
    USED_TOKEN = auto()
    EXPIRED_TOKEN = auto()
