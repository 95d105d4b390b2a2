"""What a host says of itself: which launch modes it serves now, and whether it is fit to be rented at all.

It comes with the registration and with each report, so a change counts from the next report on. A host whose program
says nothing of this serves every mode.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MODES = ("args", "ssh", "jupyter")
UNKNOWN_MODE = "Its program does not know this mode. Update it."


@dataclass(frozen=True)
class Readiness:
    """`modes` has None for each mode that is served, else why it is not, in a sentence; None: the host does not say.

    `not_ready` has a sentence for each thing that makes the whole host unfit: nothing new is rented on it meanwhile.
    """

    modes: Mapping[str, str | None] | None = None
    not_ready: tuple[str, ...] = ()

    def why_not_served(self, mode: str) -> str | None:
        return None if self.modes is None else self.modes.get(mode, UNKNOWN_MODE)
