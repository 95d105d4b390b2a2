"""What a host writes, as it may reach people: one line, cut short.

It stands in terminals and pages of others. So nothing of it moves a cursor, starts a line or turns the writing around.
"""


def one_line(text: str, most: int) -> str:
    """Blanks of any kind become spaces, and whatever else cannot be seen, or is no character, a question mark."""
    return "".join(each if each.isprintable() else " " if each.isspace() else "?" for each in text[:most])
