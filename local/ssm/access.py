"""Who may do what: every operation names its action and resource here, the decision itself is injected.

The decision is IAM's. What it is asked: the caller, the action, the ARN, and the condition keys that the action
supports (for SendCommand on a managed instance `ssm:resourceTag/<key>` and `aws:ResourceTag/<key>`).
"""

from collections.abc import Callable, Mapping

from local.ssm.errors import SignatureError, denied
from local.ssm.sigv4 import Caller

Authorize = Callable[[Caller, str, str, Mapping[str, str]], bool]


class Access:
    """Asks for a decision and words the refusal."""

    def __init__(self, authorize: Authorize, *, account_id: str, region: str) -> None:
        self._authorize = authorize
        self._account_id = account_id
        self._region = region

    def arn(self, kind: str, name: str) -> str:
        """Name a resource of this service: a document, a managed-instance."""
        return f"arn:aws:ssm:{self._region}:{self._account_id}:{kind}/{name}"

    def role_arn(self, role_name: str) -> str:
        """Name an IAM role of this account."""
        return f"arn:aws:iam::{self._account_id}:role/{role_name}"

    def require(
        self, caller: Caller | None, action: str, resource_arn: str = "", context: Mapping[str, str] | None = None
    ) -> Caller:
        """Return the caller if the action is allowed; without a resource, on all of this service."""
        if caller is None:
            raise SignatureError("MissingAuthenticationTokenException", "Missing Authentication Token")
        resource = resource_arn or f"arn:aws:ssm:{self._region}:{self._account_id}:*"
        if not self._authorize(caller, action, resource, context or {}):
            raise denied(caller.arn, action, resource)
        return caller

    def require_node(self, caller: Caller | None, action: str, instance_id: str) -> Caller:
        """Return the caller if it is the managed node itself: the session of its role bears its id."""
        resource = "*" if action.startswith("ec2messages:") else self.arn("managed-instance", instance_id)
        allowed = self.require(caller, action, resource)
        if allowed.arn.rsplit("/", 1)[-1] != instance_id:
            raise denied(allowed.arn, action, self.arn("managed-instance", instance_id))
        return allowed


def tag_context(tags: Mapping[str, str]) -> dict[str, str]:
    """The condition keys that a resource's tags give."""
    keys = ("ssm:resourceTag", "aws:ResourceTag")
    return {f"{prefix}/{key}": value for prefix in keys for key, value in tags.items()}


def request_tag_context(tags: Mapping[str, str]) -> dict[str, str]:
    """The condition keys that the tags in a request give."""
    return {f"aws:RequestTag/{key}": value for key, value in tags.items()}
