"""How activations, machines and documents look in API answers: shapes only, nothing decided here."""

from local.ssm.model import Activation, Document, JsonObject, ManagedInstance

ONLINE_FOR_S = 600


def tag_list(tags: dict[str, str]) -> list[JsonObject]:
    """Write tags as the API does."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def activation_view(activation: Activation, now: float) -> JsonObject:
    """One entry of DescribeActivations."""
    return {
        "ActivationId": activation.activation_id,
        "Description": activation.description,
        "DefaultInstanceName": activation.default_instance_name,
        "IamRole": activation.role_name,
        "RegistrationLimit": activation.registration_limit,
        "RegistrationsCount": activation.registrations,
        "ExpirationDate": activation.expires_at,
        "Expired": now >= activation.expires_at,
        "CreatedDate": activation.created_at,
        "Tags": tag_list(activation.tags),
    }


def is_online(instance: ManagedInstance | None, now: float) -> bool:
    """Say whether a machine's agent was heard lately."""
    return instance is not None and instance.last_ping_at is not None and now - instance.last_ping_at < ONLINE_FOR_S


def ping_status(instance: ManagedInstance, now: float) -> str:
    """Word how lately a machine's agent was heard."""
    if instance.last_ping_at is None:
        return "Inactive"
    return "Online" if is_online(instance, now) else "ConnectionLost"


def instance_view(instance: ManagedInstance, now: float) -> JsonObject:
    """One entry of DescribeInstanceInformation."""
    return {
        "InstanceId": instance.instance_id,
        "PingStatus": ping_status(instance, now),
        "LastPingDateTime": instance.last_ping_at or instance.registered_at,
        "AgentVersion": instance.agent.get("AgentVersion", ""),
        "IsLatestVersion": True,
        "PlatformType": instance.agent.get("PlatformType", "Linux"),
        "PlatformName": instance.agent.get("PlatformName", ""),
        "PlatformVersion": instance.agent.get("PlatformVersion", ""),
        "ActivationId": instance.activation_id,
        "IamRole": instance.role_name,
        "RegistrationDate": instance.registered_at,
        "ResourceType": "ManagedInstance",
        "Name": instance.name,
        "IPAddress": instance.agent.get("IPAddress", ""),
        "ComputerName": instance.agent.get("ComputerName", ""),
    }


def document_view(document: Document, account_id: str) -> JsonObject:
    """The DocumentDescription of Create, Update and DescribeDocument."""
    return {
        "Name": document.name,
        "Owner": account_id,
        "CreatedDate": document.created_at,
        "Status": "Active",
        "DocumentVersion": str(document.version),
        "LatestVersion": str(document.version),
        "DefaultVersion": str(document.version),
        "DocumentType": "Command",
        "DocumentFormat": "JSON",
        "SchemaVersion": document.content["schemaVersion"],
        "Description": document.content.get("description", ""),
        "PlatformTypes": ["Linux"],
        "Parameters": [_parameter_view(name, it) for name, it in document.content.get("parameters", {}).items()],
        "Tags": tag_list(document.tags),
    }


def _parameter_view(name: str, declaration: JsonObject) -> JsonObject:
    view = {"Name": name, "Type": declaration["type"], "Description": declaration.get("description", "")}
    return {**view, **({"DefaultValue": str(declaration["default"])} if "default" in declaration else {})}
