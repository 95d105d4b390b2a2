"""The key of the service's certificate authority: made in KMS, where it stays. Nobody can take it out, us included.

Whoever installed the authority's certificate trusts this one key, so it outlives its stack wherever the tables do.
"""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.config import Stage


class AuthorityKey(kms.Key):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(
            scope,
            construct_id,
            alias=f"alias/gpulease-{stage.name}-authority",
            description="Signs the certificates of instances",
            key_spec=kms.KeySpec.ECC_NIST_P256,
            key_usage=kms.KeyUsage.SIGN_VERIFY,
            removal_policy=RemovalPolicy.RETAIN if stage.keep_data else RemovalPolicy.DESTROY,
        )
