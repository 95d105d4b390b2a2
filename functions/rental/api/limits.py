"""What a request may measure: the gateway holds to it, and the API's description tells it."""

MAX_BODY_BYTES = 1 << 20
PAGE = 50
LOG_LINES = 1000
LOG_CURSOR = r"^[0-9]{10}\.[0-9]{9}$"
MAX_TIME = (1 << 33) - 1
MAX_ID = (1 << 53) - 1
MAX_IDEMPOTENCY_KEY = 128
CALL_ID = r"^[A-Za-z0-9_-]{43}$"
SEALED = r"^[A-Za-z0-9_-]+$"
"""Base64url without padding."""
MAX_REPLY = 350_000
"""What a host answers a client with, sealed: it has to fit an item of the table."""
