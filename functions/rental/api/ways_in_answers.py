"""The fields of answers that say how to get in; `present_ways_in.py` fills them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

PortNumber = Annotated[int, Field(ge=1, le=65_535)]
Via = Literal["proxy", "direct"]


class Direct(BaseModel):
    """Where a host is reached from outside."""

    address: str = Field(description="An IPv4 or IPv6 address.")
    first_port: PortNumber
    last_port: PortNumber


class Published(BaseModel):
    """Where one port of an instance is published."""

    address: str
    port: PortNumber


class SshWay(BaseModel):
    """A way in by ssh."""

    address: str
    port: PortNumber
    user: Literal["root"]
    command: str = Field(description="To be typed; the key is that of your agent, or add `-i`.")


class SshWays(BaseModel):
    """Both lead to the same sshd; null: there is no such way."""

    direct: SshWay | None = Field(description="On the host's own address.")
    proxy: SshWay | None = Field(description="Over the first of the deployment's proxies; each has the same numbers.")
    host_key: str | None = Field(
        description="The instance's public host key as OpenSSH writes it, the same for its life, on the host's word; "
        "null until it ran once. For `known_hosts`."
    )


class JupyterWay(BaseModel):
    """The one way to JupyterLab."""

    via: Via
    url: str = Field(description="`GET /v1/contracts/{contract_id}/jupyter` has the token too.")


class Access(BaseModel):
    """How to get in. It works once the instance is `running`."""

    ssh: SshWays
    jupyter: JupyterWay | None = Field(description="null but in mode `jupyter`.")


class JupyterKey(JupyterWay):
    """The way to JupyterLab, and what lets in."""

    token: str = Field(description="Of the whole contract: type it at the login, or send it as JupyterLab has it.")
