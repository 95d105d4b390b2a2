"""The key of tokens in moto, as the data stack makes it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


def create_token_key(client: "KMSClient") -> str:
    """The key's ARN."""
    made = client.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    return made["KeyMetadata"]["Arn"]
