"""Requests that may be sent twice: the same Idempotency-Key and request take effect once.

What a request changes and the memo of its key are written in one transaction, so there is never one without the
other. A memo names what came of the request, not the answer: a repeated request is answered with that as it is now.
Refusals leave no memo and are judged anew.
"""

from dataclasses import dataclass

from rental.domain.errors import IdempotencyMismatchError
from rental.ports import Memo, Memos

MEMO_S = 24 * 3600


@dataclass(frozen=True)
class Repeatable:
    """The idempotency key of a request and the hash of what was asked: method, path and body."""

    key: str
    body_sha256: str


def read_earlier(memos: Memos, account: str, repeatable: Repeatable | None, now: int) -> Memo | None:
    """What the same request led to before; raises IdempotencyMismatchError when the key was used for another."""
    memo = memos.read_memo(account, repeatable.key, now) if repeatable is not None else None
    if memo is not None and repeatable is not None and memo.body_sha256 != repeatable.body_sha256:
        raise IdempotencyMismatchError("This Idempotency-Key was used with another request or body. Use a new key.")
    return memo


def memo_of(account: str, repeatable: Repeatable | None, made: object, now: int) -> Memo | None:
    """The memo to write with what the request made, if it may be repeated."""
    if repeatable is None:
        return None
    return Memo(account, repeatable.key, repeatable.body_sha256, str(made), now, now + MEMO_S)
