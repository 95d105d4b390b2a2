"""What owners say of where their hosts are reached."""

from typing import Annotated

from pydantic import Field

from rental.api.numbers import WHOLE
from rental.api.schemas import Body
from rental.domain.ways_in import FIRST_PORT, LAST_PORT

Port = Annotated[int, Field(ge=FIRST_PORT, le=LAST_PORT), WHOLE]


class DeclareDirect(Body):
    """An address and a range of ports that lead to the host from outside, tcp and udp."""

    address: Annotated[
        str,
        Field(
            min_length=2,
            max_length=45,
            pattern=r"^[0-9A-Fa-f:.]+$",
            description="An IPv4 address, no name. JupyterLab is reached directly at public ones only.",
        ),
    ]
    first_port: Port
    last_port: Annotated[Port, Field(description="At most 4096 ports; the last is one of them.")]
