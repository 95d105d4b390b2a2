"""Public keys that parse as those of OpenSSH do, and that nobody has the private half of."""

import base64


def make_line(number: int, comment: str = "") -> str:
    """The line of an ed25519 key; the same number makes the same key."""
    kind, point = b"ssh-ed25519", number.to_bytes(32, "big")
    blob = b"".join(len(each).to_bytes(4, "big") + each for each in (kind, point))
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".strip()
