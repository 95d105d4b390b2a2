"""One structured logger for every entry point; what the service and the adapters log goes the same way."""

import logging

from aws_lambda_powertools import Logger

logger = Logger()

_inner = logging.getLogger("rental")
_inner.handlers = logger.handlers
_inner.setLevel(logger.log_level)
_inner.propagate = False
