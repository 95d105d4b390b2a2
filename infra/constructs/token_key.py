"""The key that JupyterLab's tokens are computed with: made in KMS, where it stays, readable by nobody.

A token of a running container can be computed by this key alone, so it is kept as the tables are. KMS deletes a key
30 days after it was told to.
"""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.config import Stage

DELETED_AFTER = Duration.days(30)


class TokenKey(kms.Key):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(
            scope,
            construct_id,
            description=f"GPULease {stage.name}: tokens that let into JupyterLab",
            alias=f"gpulease-{stage.name}-tokens",
            key_spec=kms.KeySpec.HMAC_256,
            key_usage=kms.KeyUsage.GENERATE_VERIFY_MAC,
            pending_window=DELETED_AFTER,
            removal_policy=RemovalPolicy.RETAIN if stage.keep_data else RemovalPolicy.DESTROY,
        )
