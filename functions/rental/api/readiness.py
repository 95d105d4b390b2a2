"""A host's word on itself, out of the inventory that registrations and reports carry: schemas/register.v1.json.

A program that is older says nothing of it.
"""

from collections.abc import Mapping
from typing import Any

from rental.domain.readiness import MODES, UNKNOWN_MODE, Readiness
from rental.domain.sentences import one_line

MAX_SENTENCE = 300
MAX_NOT_READY = 8


def read_readiness(inventory: Any) -> Readiness:
    """Modes that this version does not know are left out. Raises ValueError."""
    if not isinstance(inventory, Mapping):
        raise ValueError("the inventory is no object")
    modes, not_ready = inventory.get("modes"), inventory.get("not_ready", [])
    if not isinstance(modes, Mapping | None) or not isinstance(not_ready, list):
        raise ValueError("modes is no object, or not_ready no list")
    sentences = tuple(_sentence(each) for each in not_ready[:MAX_NOT_READY])
    return Readiness(None if modes is None else _known(modes), sentences)


def _known(modes: Mapping[str, Any]) -> dict[str, str | None]:
    told = {mode: modes.get(mode, UNKNOWN_MODE) for mode in MODES}
    return {mode: None if reason is None else _sentence(reason) for mode, reason in told.items()}


def _sentence(text: Any) -> str:
    if not isinstance(text, str):
        raise ValueError("a sentence is no text")
    return one_line(text, MAX_SENTENCE)
