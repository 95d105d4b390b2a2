"""What the service refuses, in the words of the AWS JSON 1.1 protocol.

SsmError                       any refusal: a code, a sentence, an HTTP status
├── AccessDeniedError          the caller has no grant for this action on this resource
├── SignatureError             the request is not signed, or not by whom it says
└── ValidationError            a field that AWS refuses before it looks at anything else
"""


class SsmError(Exception):
    """A refusal: `code` is what SDKs turn into an exception name."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


class AccessDeniedError(SsmError):
    """No policy of the caller allows the action on the resource."""

    def __init__(self, message: str) -> None:
        super().__init__("AccessDeniedException", message)


class SignatureError(SsmError):
    """The signature is missing, stale, or does not belong to the named key."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, status=403)


class ValidationError(SsmError):
    """A request whose fields break the constraints of the API model."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


def denied(caller_arn: str, action: str, resource_arn: str) -> AccessDeniedError:
    """Word a refusal as IAM does."""
    return AccessDeniedError(
        f"User: {caller_arn} is not authorized to perform: {action} on resource: {resource_arn} "
        f"because no identity-based policy allows the {action} action"
    )


def no_such_instance(instance_id: str) -> SsmError:
    """Word the refusal of an instance id that is not registered."""
    return SsmError("InvalidInstanceId", f"Instances [[{instance_id}]] not in a valid state for account")
