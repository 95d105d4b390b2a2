"""Whole numbers as JSON knows them: it has one kind of number, in which 1.0 is 1."""

from pydantic import BeforeValidator


def _without_fraction(value: object) -> object:
    """Anything but a whole number stays as it is, to be refused; Python alone takes `true` for one."""
    if isinstance(value, bool):
        raise ValueError("Input should be a valid integer")
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_without_fraction)
"""Stands last in an annotation: bounds before it are told in the API's description."""
