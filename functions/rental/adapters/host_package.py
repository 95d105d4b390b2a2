"""The host program as it was deployed: one wheel, in one object, with the installer that belongs to it."""

import hashlib
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

INSTALLER = "gpulease_host/install.sh"
WHEEL = ".dist-info/WHEEL"


@dataclass(frozen=True)
class HostPackage:
    file_name: str
    body: bytes
    template: str
    """The installer, with names between @ for what only the service knows."""

    def installer(self, api_url: str) -> str:
        """The installer of exactly this package, from this service."""
        known = {"API_URL": api_url, "PACKAGE": self.file_name, "PACKAGE_SHA256": hashlib.sha256(self.body).hexdigest()}
        text = self.template
        for name, value in known.items():
            text = text.replace(f"@{name}@", value)
        return text


def read_host_package(client: "S3Client", bucket: str, key: str) -> HostPackage:
    body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    with zipfile.ZipFile(BytesIO(body)) as wheel:
        name = next(each for each in wheel.namelist() if each.endswith(WHEEL)).removesuffix(WHEEL)
        return HostPackage(f"{name}-py3-none-any.whl", body, wheel.read(INSTALLER).decode())
