"""Requests that may be sent twice: the same Idempotency-Key and request take effect once.

What a request changes and the memo of its key are written in one transaction, so there is never one without the
other. A memo names what came of the request, not the answer: a repeated request is answered with that as it is now.
Refusals leave no memo and are judged anew.

A request may hold secrets. Of it and of its key a memo keeps digests only, and the one of the request is keyed by the
Idempotency-Key: who reads the table and does not know the key cannot try out what was asked.
"""

import hashlib
import hmac
from dataclasses import dataclass, field

from rental.domain.errors import IdempotencyMismatchError
from rental.ports import Memo, Memos

MEMO_S = 24 * 3600


@dataclass(frozen=True)
class Repeatable:
    """The idempotency key of a request, and all that was asked: method, path and body."""

    key: str = field(repr=False)
    asked: bytes = field(repr=False)

    def name(self, account: str) -> str:
        """What the memo of this key is found by."""
        return hashlib.sha256(f"{account}\n{self.key}".encode()).hexdigest()

    def digest(self, account: str) -> str:
        return hmac.new(self.key.encode(), account.encode() + b"\n" + self.asked, hashlib.sha256).hexdigest()


def read_earlier(memos: Memos, account: str, repeatable: Repeatable | None, now: int) -> Memo | None:
    """What the same request led to before; raises IdempotencyMismatchError when the key was used for another."""
    if repeatable is None:
        return None
    memo = memos.read_memo(account, repeatable.name(account), now)
    if memo is not None and not hmac.compare_digest(memo.request_digest, repeatable.digest(account)):
        raise IdempotencyMismatchError("This Idempotency-Key was used with another request or body. Use a new key.")
    return memo


def memo_of(account: str, repeatable: Repeatable | None, made: object, now: int) -> Memo | None:
    """The memo to write with what the request made, if it may be repeated."""
    if repeatable is None:
        return None
    name, digest = repeatable.name(account), repeatable.digest(account)
    return Memo(account, name, digest, str(made), now, now + MEMO_S)
