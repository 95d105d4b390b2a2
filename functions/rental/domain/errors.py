"""Every way a request can be refused, as one tree.

RentalError
├── InvalidRequestError          invalid_request       what was sent cannot be understood or exceeds a limit
│   └── DurationTooLongError     duration_too_long     past the end of the offer
├── UnauthenticatedError         unauthenticated       no key, or one that is not known
├── ForbiddenError               forbidden             the key's role may not do this
├── NotFoundError                not_found             no such thing, or not the caller's
├── MethodNotAllowedError        method_not_allowed    this path has no such method; the header Allow names those it has
├── ConflictError                conflict              the state of things does not allow it now
│   ├── OfferTakenError          offer_taken           the offer's GPUs or disk are gone
│   ├── ContractExpiredError     contract_expired      the end date has passed
│   ├── ContractOverError        contract_over         ending, deleting, deleted or failed
│   ├── NotCurrentError          not_current           a host asks for what is no longer wanted
│   ├── HostFullError            host_full             200 contracts or 350 instances on the host
│   ├── NoPortsFreeError         no_ports_free         the host's open ports, or the proxy's numbers, are taken
│   ├── NotReachableError        not_reachable         neither host nor deployment has the way in that was asked for
│   ├── ModeNotServedError       mode_not_served       the host does not serve this launch mode now
│   ├── HostNotReadyError        host_not_ready        the host cannot be listed as asked, or not be rented now
│   ├── HostOfflineError         host_offline          the host is silent or quarantined: nothing new is rented on it
│   ├── HostHeardError           host_heard            the host reports still: it is not lost
│   ├── HostRetiredError         host_retired          the host was declared lost, or its machine key was revoked
│   ├── CallFailedError          call_failed           the host could not do what was asked of the instance
│   ├── NoAnswerError            no_answer             the host has not answered in time
│   ├── AlreadyDoneError         already_done          repeated, and what the first one made is shown only once
│   └── BusyError                busy                  too many at once; the same request may be repeated
├── IdempotencyMismatchError     idempotency_mismatch  the key was used with another body
└── TransitionError              internal              the lifecycle table forbids it: a fault of ours
"""

from rental.domain.refusal import Why


class RentalError(Exception):
    """A refusal with a stable `code` and a sentence that says what to do next. `why` is finer, and for our log only."""

    code = "internal"

    def __init__(self, message: str, *, why: Why | None = None) -> None:
        super().__init__(message)
        self.why = why


class InvalidRequestError(RentalError):
    code = "invalid_request"


class DurationTooLongError(InvalidRequestError):
    code = "duration_too_long"


class UnauthenticatedError(RentalError):
    code = "unauthenticated"


class ForbiddenError(RentalError):
    code = "forbidden"


class NotFoundError(RentalError):
    code = "not_found"


class MethodNotAllowedError(RentalError):
    code = "method_not_allowed"


class ConflictError(RentalError):
    code = "conflict"


class OfferTakenError(ConflictError):
    code = "offer_taken"


class ContractExpiredError(ConflictError):
    code = "contract_expired"


class ContractOverError(ConflictError):
    code = "contract_over"


class NotCurrentError(ConflictError):
    code = "not_current"


class HostFullError(ConflictError):
    code = "host_full"


class NoPortsFreeError(ConflictError):
    code = "no_ports_free"


class NotReachableError(ConflictError):
    code = "not_reachable"


class ModeNotServedError(ConflictError):
    code = "mode_not_served"


class HostNotReadyError(ConflictError):
    code = "host_not_ready"


class HostOfflineError(ConflictError):
    code = "host_offline"


class HostHeardError(ConflictError):
    code = "host_heard"


class HostRetiredError(ConflictError):
    code = "host_retired"


class CallFailedError(ConflictError):
    code = "call_failed"


class NoAnswerError(ConflictError):
    code = "no_answer"


class AlreadyDoneError(ConflictError):
    code = "already_done"


class BusyError(ConflictError):
    code = "busy"


class IdempotencyMismatchError(RentalError):
    code = "idempotency_mismatch"


class TransitionError(RentalError):
    """The lifecycle table has no such arrow."""
