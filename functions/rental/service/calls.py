"""Have a host do something for a client who waits: seal what is asked, ring, wait for the sealed reply.

Only whoever waits can open the reply: its key is made for one call and never stored.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rental.domain.book import Bell
from rental.domain.calls import CALL_LIFE_S, Call, CallId, CallKind, check_may_exec, check_may_read_logs
from rental.domain.contract import Contract, Instance
from rental.domain.errors import (
    AlreadyDoneError,
    CallFailedError,
    HostOfflineError,
    InvalidRequestError,
    NoAnswerError,
    NotCurrentError,
    NotFoundError,
)
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.domain.sentences import one_line
from rental.ports import (
    Bells,
    CallStore,
    Clock,
    Entropy,
    Envelopes,
    GuardFailedError,
    Principal,
    Sealer,
    Store,
    TakenError,
)
from rental.service.repeating import Repeatable, memo_of, read_earlier
from rental.service.retrying import retried

FIRST_LOOK_S = 0.05
LAST_LOOK_S = 0.5
MAX_REASON_LENGTH = 500
MAX_QUESTION_BYTES = 128 * 1024
"""Sealed and as text it has to fit an item of the table, of at most 400 KiB."""


@dataclass(frozen=True)
class Calls:
    """`patience_s` is how long a caller is kept waiting, beyond what a command itself may take."""

    store: Store
    calls: CallStore
    bells: Bells
    sealer: Sealer
    envelopes: Envelopes
    clock: Clock
    entropy: Entropy
    patience_s: float

    def run_command(
        self,
        contract_id: ContractId,
        caller: Principal,
        instance_id: InstanceId | None,
        asked: Mapping[str, Any],
        repeatable: Repeatable | None = None,
    ) -> dict[str, Any]:
        """Run a command in a running instance. A repeated request is refused: it is not run twice, nor kept.

        Raises NotFoundError, ConflictError, AlreadyDoneError, CallFailedError, NoAnswerError,
        InvalidRequestError, BusyError.
        """
        contract, instance = self._chosen(contract_id, caller, instance_id)
        now = self.clock.now()
        self._check_new(caller.account, repeatable, now)
        check_may_exec(contract, instance, now)
        return self._call(CallKind.EXEC, contract, instance, asked, asked["timeout_s"], repeatable)

    def read_logs(
        self, contract_id: ContractId, caller: Principal, instance_id: InstanceId | None, asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The last lines of an instance, or those after a cursor. Raises as `run_command`."""
        contract, instance = self._chosen(contract_id, caller, instance_id)
        check_may_read_logs(contract, instance)
        return self._call(CallKind.LOGS, contract, instance, asked, 0)

    def _chosen(
        self, contract_id: ContractId, caller: Principal, instance_id: InstanceId | None
    ) -> tuple[Contract, Instance]:
        """The caller's own: what a tenant does inside is not even the host owner's to ask for here."""
        contract = self.store.read_contract(contract_id)
        if contract is None or contract.account != caller.account:
            raise NotFoundError("There is no such contract.")
        return contract, contract.instances[0] if instance_id is None else contract.instance(instance_id)

    def _call(
        self,
        kind: CallKind,
        contract: Contract,
        instance: Instance,
        asked: Mapping[str, Any],
        takes_s: int,
        repeatable: Repeatable | None = None,
    ) -> dict[str, Any]:
        host = self.store.read_host(contract.host_id)
        if host is None or host.machine_key is None:
            raise HostOfflineError("The host does not answer now.")
        question = json.dumps(asked, ensure_ascii=False).encode()
        if len(question) > MAX_QUESTION_BYTES:
            raise InvalidRequestError(
                f"The command exceeds {MAX_QUESTION_BYTES} bytes of JSON. Write it to a file first."
            )
        envelope = self.envelopes.make()
        sealed = self.sealer.seal(host.machine_key, contract.id, question)

        def attempt(now: int) -> Call:
            call = Call(
                id=CallId(self.entropy.token()),
                host_id=contract.host_id,
                contract_id=contract.id,
                instance_id=instance.id,
                kind=kind,
                sealed=sealed,
                reply_key=envelope.public_key,
                expires_at=now + CALL_LIFE_S,
            )
            try:
                self.calls.create_call(call, memo_of(contract.account, repeatable, call.id, now))
            except (GuardFailedError, TakenError):
                self._check_new(contract.account, repeatable, now)  # the same request, sent twice at once, was faster
                raise
            return call

        call = retried(attempt, self.clock, self.entropy)
        self.bells.ring(
            [Bell(contract.host_id, contract.id, instance.id, instance.generation, urgent=True, call_id=call.id)]
        )
        return _read(envelope.open(self._wait(call.id, takes_s + self.patience_s), call.id))

    def _check_new(self, account: str, repeatable: Repeatable | None, now: int) -> None:
        if read_earlier(self.calls, account, repeatable, now) is not None:
            raise AlreadyDoneError("This command was run, and its output is not kept. Send it with a new key.")

    def _wait(self, call_id: CallId, patience_s: float) -> str:
        """The sealed reply; raises NoAnswerError."""
        waited_s, pause_s = 0.0, FIRST_LOOK_S
        while waited_s < patience_s:
            self.clock.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(LAST_LOOK_S, pause_s * 1.3)
            call = self.calls.read_call(call_id)
            if call is not None and call.reply is not None:
                return call.reply
        raise NoAnswerError("The host has not answered in time. Look at the instance's status, then ask again.")


def _read(reply: bytes) -> dict[str, Any]:
    """What the host says; raises CallFailedError when it is a failure, or nothing that could be read."""
    try:
        said = json.loads(reply)
    except (ValueError, RecursionError) as error:
        raise CallFailedError("The host's reply cannot be read.") from error
    if not isinstance(said, dict) or "error" in said:
        reason = said["error"] if isinstance(said, dict) else None
        text = one_line(reason, MAX_REASON_LENGTH) if isinstance(reason, str) else ""
        raise CallFailedError(text or "The host's reply cannot be read.")
    return said


@dataclass(frozen=True)
class Answering:
    """The other end: what hosts see of calls."""

    calls: CallStore
    clock: Clock
    entropy: Entropy

    def show_call(self, host_id: HostId, call_id: CallId) -> Call:
        """What a host is asked. Raises NotCurrentError when nobody waits for it any more."""
        call = self.calls.read_call(call_id)
        if call is None or call.host_id != host_id or self.clock.now() >= call.expires_at or call.reply is not None:
            raise NotCurrentError("Nobody waits for this any more.")
        return call

    def reply(self, host_id: HostId, call_id: CallId, sealed: str) -> None:
        """Take in a host's reply, once. Raises NotCurrentError, BusyError."""

        def attempt(_now: int) -> None:
            self.calls.put_reply(self.show_call(host_id, call_id), sealed)

        retried(attempt, self.clock, self.entropy)
