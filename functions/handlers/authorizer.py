"""Who calls: the account and role of an API key.

It always allows and passes on what it found, or nothing: a denial here would answer in API Gateway's shape, so the
functions refuse in ours.
"""

import hashlib
from typing import Any

from handlers.logs import logger
from rental.adapters import wiring

MAX_KEY_LENGTH = 256


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    scheme, _, key = event.get("headers", {}).get("authorization", "").partition(" ")
    principal = None
    if scheme.lower() == "bearer" and 0 < len(key) <= MAX_KEY_LENGTH:
        principal = wiring.store().read_principal(hashlib.sha256(key.encode()).hexdigest())
    known = principal is not None
    logger.info("authorized", extra={"known": known, "request_id": event["requestContext"]["requestId"]})
    context = {"account": principal.account, "role": principal.role} if principal is not None else {}
    return {"isAuthorized": True, "context": context}
