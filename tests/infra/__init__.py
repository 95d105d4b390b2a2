"""What is deployed. `infra` comes before every import of the CDK: it says which Node runs it."""

import infra  # noqa: F401
