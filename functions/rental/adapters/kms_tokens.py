"""KMS: tokens that are computed and not kept. The key makes them and cannot be read by anybody."""

import base64
from typing import TYPE_CHECKING, Final

from rental.domain.ids import ContractId

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

ALGORITHM: Final = "HMAC_SHA_256"
JUPYTER_MESSAGE = "gpulease/jupyter/v1/{}"
"""What the token of a contract is made of. Changing it shuts people out of what runs."""


class KmsTokens:
    """The port `TokenMaker`."""

    def __init__(self, client: "KMSClient", key_id: str) -> None:
        self._client = client
        self._key_id = key_id

    def jupyter_token(self, contract_id: ContractId) -> str:
        message = JUPYTER_MESSAGE.format(contract_id).encode()
        answer = self._client.generate_mac(KeyId=self._key_id, MacAlgorithm=ALGORITHM, Message=message)
        return base64.urlsafe_b64encode(answer["Mac"]).rstrip(b"=").decode()
