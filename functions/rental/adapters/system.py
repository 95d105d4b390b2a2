"""The real clock and the real randomness."""

import secrets
import time


class SystemClock:
    def now(self) -> int:
        return int(time.time())

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SystemEntropy:
    def below(self, limit: int) -> int:
        return secrets.randbelow(limit)

    def token(self) -> str:
        return secrets.token_urlsafe(32)


def new_commit_id() -> str:
    """A name for one transaction, so that its own success can be told from another's."""
    return secrets.token_hex(8)
