"""Managed nodes: activations, registration, the credentials of their role, what their agents say, their tags."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from local.ssm import sigv4
from local.ssm.access import Access, request_tag_context, tag_context
from local.ssm.errors import SsmError, ValidationError, no_such_instance
from local.ssm.ids import Ids
from local.ssm.model import Activation, JsonObject, ManagedInstance
from local.ssm.request import Request
from local.ssm.store import Store
from local.ssm.views import activation_view, instance_view, is_online, ping_status

DAY_S = 24 * 3600
MIN_RSA_BITS = 2048

_AGENT_FIELDS = (
    "AgentName",
    "AgentVersion",
    "AgentStatus",
    "PlatformType",
    "PlatformName",
    "PlatformVersion",
    "ComputerName",
    "IPAddress",
)


@dataclass(frozen=True)
class IssuedCredentials:
    """A session of a role; `expires_at` is epoch seconds."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: float


IssueCredentials = Callable[[str, str], IssuedCredentials]


class Nodes:
    """The operations on activations and managed instances."""

    def __init__(
        self, store: Store, access: Access, *, clock: Callable[[], float], ids: Ids, issue: IssueCredentials
    ) -> None:
        self._store = store
        self._access = access
        self._clock = clock
        self._ids = ids
        self._issue = issue

    def create_activation(self, request: Request) -> JsonObject:
        """Let up to RegistrationLimit machines register until ExpirationDate."""
        role_name, tags, now = request.text("IamRole"), request.tags(), self._clock()
        self._require_activation_rights(request, role_name, tags)
        expires_at = request.time("ExpirationDate", now + DAY_S)
        if not now < expires_at <= now + 30 * DAY_S:
            raise ValidationError("ExpirationDate must lie within the next 30 days")
        code = self._ids.activation_code()
        activation = Activation(
            activation_id=self._ids.uuid(),
            code_sha256=_sha256(code),
            role_name=role_name,
            registration_limit=request.integer("RegistrationLimit", 1, 1, 1000),
            created_at=now,
            expires_at=expires_at,
            description=request.text("Description", ""),
            default_instance_name=request.text("DefaultInstanceName", ""),
            tags=tags,
        )
        self._store.commit([activation])
        return {"ActivationId": activation.activation_id, "ActivationCode": code}

    def describe_activations(self, request: Request) -> JsonObject:
        """List activations."""
        self._access.require(request.caller, "ssm:DescribeActivations")
        filters = request.filters()
        chosen = [
            activation_view(activation, self._clock())
            for activation in self._store.all(Activation)
            if activation.activation_id in filters.get("ActivationIds", [activation.activation_id])
            and activation.role_name in filters.get("IamRole", [activation.role_name])
        ]
        return request.page("ActivationList", chosen)

    def delete_activation(self, request: Request) -> JsonObject:
        """End an activation; machines registered with it stay."""
        self._access.require(request.caller, "ssm:DeleteActivation")
        activation = self._store.find(Activation, request.text("ActivationId"))
        if activation is None:
            raise SsmError("InvalidActivationId", "The activation ID is not valid.")
        self._store.commit(deletes=[activation])
        return {}

    def register(self, request: Request) -> JsonObject:
        """Take a machine in. It holds an activation code, nothing else: this call is unsigned.

        A machine that repeats its call (same activation, same key) gets the same id: its first answer was lost.
        """
        activation = self._valid_activation(request.text("ActivationId"), request.text("ActivationCode"))
        public_key = _checked_rsa_key(request.text("PublicKey"))
        for instance in self._store.all(ManagedInstance):
            if (instance.activation_id, instance.public_key) == (activation.activation_id, public_key):
                return {"InstanceId": instance.instance_id}
        if activation.registrations >= activation.registration_limit:
            raise SsmError("InvalidActivation", "The activation has reached its registration limit.")
        instance = ManagedInstance(
            instance_id=self._ids.instance_id(),
            activation_id=activation.activation_id,
            role_name=activation.role_name,
            public_key=public_key,
            fingerprint=request.text("Fingerprint", ""),
            registered_at=self._clock(),
            name=activation.default_instance_name,
            tags=activation.tags,
        )
        self._store.commit([instance, replace(activation, registrations=activation.registrations + 1)])
        return {"InstanceId": instance.instance_id}

    def request_role_token(self, request: Request) -> JsonObject:
        """Give a machine its role's credentials, on the signature of the key it registered."""
        instance_id = sigv4.parse_authorization(request.headers).key_id
        instance = self._store.find(ManagedInstance, instance_id)
        if instance is None:
            raise no_such_instance(instance_id)
        sigv4.check_rsa(instance.public_key, request.headers, request.body, self._clock())
        issued = self._issue(instance.role_name, instance_id)
        return {
            "AccessKeyId": issued.access_key_id,
            "SecretAccessKey": issued.secret_access_key,
            "SessionToken": issued.session_token,
            "TokenExpirationDate": issued.expires_at,
            "UpdateKeyPair": False,
        }

    def update_information(self, request: Request) -> JsonObject:
        """Note what a machine's agent says of itself, and that it lives."""
        instance_id = request.text("InstanceId")
        self._access.require_node(request.caller, "ssm:UpdateInstanceInformation", instance_id)
        instance = self.instance(instance_id)
        said = {name: request.text(name) for name in _AGENT_FIELDS if name in request.fields}
        self._store.commit([replace(instance, agent={**instance.agent, **said}, last_ping_at=self._clock())])
        return {}

    def describe_information(self, request: Request) -> JsonObject:
        """List machines, by any of the filters."""
        self._access.require(request.caller, "ssm:DescribeInstanceInformation")
        filters = request.filters()
        chosen = [
            instance_view(instance, self._clock())
            for instance in self._store.all(ManagedInstance)
            if all(self._fits(instance, key, values) for key, values in filters.items())
        ]
        return request.page("InstanceInformationList", chosen)

    def instance(self, instance_id: str) -> ManagedInstance:
        """Return a registered machine or refuse."""
        instance = self._store.find(ManagedInstance, instance_id)
        if instance is None:
            raise no_such_instance(instance_id)
        return instance

    def is_online(self, instance_id: str) -> bool:
        """Say whether a machine's agent was heard lately."""
        return is_online(self._store.find(ManagedInstance, instance_id), self._clock())

    def deregister(self, request: Request) -> ManagedInstance:
        """Forget a machine: its key opens nothing any more."""
        instance = self.instance(request.text("InstanceId"))
        arn = self._access.arn("managed-instance", instance.instance_id)
        self._access.require(request.caller, "ssm:DeregisterManagedInstance", arn, tag_context(instance.tags))
        self._store.commit(deletes=[instance])
        return instance

    def _require_activation_rights(self, request: Request, role_name: str, tags: dict[str, str]) -> None:
        self._access.require(request.caller, "ssm:CreateActivation", context=request_tag_context(tags))
        self._access.require(
            request.caller,
            "iam:PassRole",
            self._access.role_arn(role_name),
            {"iam:PassedToService": "ssm.amazonaws.com"},
        )
        if tags:
            machines = self._access.arn("managed-instance", "*")
            self._access.require(request.caller, "ssm:AddTagsToResource", machines, request_tag_context(tags))

    def _valid_activation(self, activation_id: str, code: str) -> Activation:
        activation = self._store.find(Activation, activation_id)
        if activation is None or not hmac.compare_digest(activation.code_sha256, _sha256(code)):
            raise SsmError("InvalidActivation", "The activation is not valid.")
        if self._clock() >= activation.expires_at:
            raise SsmError("InvalidActivation", "The activation has expired.")
        return activation

    def _fits(self, instance: ManagedInstance, key: str, values: list[str]) -> bool:
        if key.startswith("tag:"):
            return instance.tags.get(key.removeprefix("tag:")) in values
        facts = {
            "ActivationIds": instance.activation_id,
            "InstanceIds": instance.instance_id,
            "IamRole": instance.role_name,
            "AgentVersion": instance.agent.get("AgentVersion", ""),
            "PlatformTypes": instance.agent.get("PlatformType", "Linux"),
            "PingStatus": ping_status(instance, self._clock()),
            "ResourceType": "ManagedInstance",
        }
        if key not in facts:
            raise SsmError("InvalidInstanceInformationFilterValue", f"The filter {key} is not known.")
        return facts[key] in values


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checked_rsa_key(encoded: str) -> str:
    try:
        key = load_der_public_key(base64.b64decode(encoded, validate=True))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValidationError("PublicKey is not the base64 of a DER public key") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_RSA_BITS:
        raise ValidationError(f"PublicKey must be an RSA key of at least {MIN_RSA_BITS} bits")
    return encoded
