"""Accounts and their API keys: open, issue, list, revoke.

A key is shown once and kept as a hash, so a repeated request cannot be answered with it: not from the memo, which
would have to hold it, and not by deriving it from the request, which would make the key as guessable as the
Idempotency-Key. The repeated request is refused and told which key the first one made.
"""

from dataclasses import dataclass, field

from rental.domain.access import Account, ApiKey, Role, check_may_manage, key_id_of, make_secret
from rental.domain.errors import AlreadyDoneError, ConflictError, NotFoundError
from rental.ports import AccessStore, Clock, Entropy, Page, Principal, TakenError
from rental.service.repeating import Repeatable, memo_of, read_earlier
from rental.service.retrying import retried


@dataclass(frozen=True)
class IssuedKey:
    """A new key; `secret` is shown this once."""

    key: ApiKey
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Access:
    store: AccessStore
    clock: Clock
    entropy: Entropy

    def open_account(self, caller: Principal, name: str, label: str, repeatable: Repeatable | None) -> Account:
        """Raises ConflictError when there is one of this name, IdempotencyMismatchError, BusyError."""

        def attempt(now: int) -> Account:
            if read_earlier(self.store, caller.account, repeatable, now) is not None:
                return self._account(name)
            account = Account(name, label, now)
            try:
                self.store.create_account(account, memo_of(caller.account, repeatable, name, now))
            except TakenError as error:
                if read_earlier(self.store, caller.account, repeatable, now) is not None:
                    return self._account(name)  # the same request, sent twice at once, was faster
                raise ConflictError("There is an account of this name already. Choose another name.") from error
            return account

        return retried(attempt, self.clock, self.entropy)

    def list_accounts(self, cursor: str | None, limit: int) -> Page[Account]:
        return self.store.list_accounts(cursor, limit)

    def issue_key(
        self, caller: Principal, account: str, role: Role, label: str, repeatable: Repeatable | None
    ) -> IssuedKey:
        """Raises ForbiddenError, NotFoundError, AlreadyDoneError for a repeated request, BusyError."""
        check_may_manage(caller.account, caller.role, account, role)

        def attempt(now: int) -> IssuedKey:
            earlier = read_earlier(self.store, caller.account, repeatable, now)
            if earlier is not None:
                raise AlreadyDoneError(
                    f"This request made the key {earlier.made}, which was shown once. If you have not received it, "
                    "revoke it and send a new request with a new Idempotency-Key."
                )
            if account != caller.account:
                self._account(account)
            secret = make_secret(role, self.entropy.token())
            key = ApiKey(key_id_of(secret), account, role, label, now)
            self.store.create_key(key, memo_of(caller.account, repeatable, key.id, now))
            return IssuedKey(key, secret)

        return retried(attempt, self.clock, self.entropy)

    def list_keys(self, caller: Principal, account: str | None, cursor: str | None, limit: int) -> Page[ApiKey]:
        """The keys of an account, the caller's own where none is named; oldest first, without the keys themselves.

        Raises NotFoundError for another account's, unless an administrator asks.
        """
        named = account if account is not None else caller.account
        if named != caller.account:
            if caller.role != Role.ADMIN:
                raise NotFoundError("There is no such account.")
            self._account(named)
        return self.store.list_keys(named, cursor, limit)

    def revoke_key(self, caller: Principal, key_id: str) -> ApiKey:
        """From the next request on the key lets nobody in. Raises NotFoundError, ForbiddenError."""
        key = self.store.read_key(key_id)
        if key is None or (key.account != caller.account and caller.role != Role.ADMIN):
            raise NotFoundError("There is no such key.")
        check_may_manage(caller.account, caller.role, key.account, key.role)

        def attempt(_now: int) -> ApiKey:
            self.store.delete_key(key.id)
            return key

        return retried(attempt, self.clock, self.entropy)

    def _account(self, name: str) -> Account:
        account = self.store.read_account(name)
        if account is None:
            raise NotFoundError("There is no such account. Open it first.")
        return account
