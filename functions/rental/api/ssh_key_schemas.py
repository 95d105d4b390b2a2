"""What clients may send about the SSH keys that let them in."""

from typing import Annotated

from pydantic import ConfigDict, Field, JsonValue

from rental.api.schemas import Body, Name, SshKeyText

A_KEY: dict[str, JsonValue] = {
    "name": "laptop",
    "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g someone@laptop",
}


class AddSshKey(Body):
    """A public key for new contracts to let in."""

    model_config = ConfigDict(json_schema_extra={"examples": [A_KEY]})

    name: Name
    public_key: Annotated[SshKeyText, Field(description="The one line of its .pub file, or a file of RFC 4716.")]


class ReplaceSshKeys(Body):
    """The keys that a contract lets in from now on."""

    ssh_keys: Annotated[list[SshKeyText], Field(max_length=16, description="An empty list lets nobody in over ssh.")]
