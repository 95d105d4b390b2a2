"""The host package among the deployment's assets, from where one function hands it out."""

from pathlib import Path
from tempfile import TemporaryDirectory

from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from infra.host_package import build_host_package


class HostPackageAsset(s3_assets.Asset):
    def __init__(self, scope: Construct, construct_id: str) -> None:
        package = build_host_package()
        # The CDK copies the file into its assembly at once.
        with TemporaryDirectory() as folder:
            path = Path(folder) / package.file_name
            path.write_bytes(package.body)
            super().__init__(scope, construct_id, path=str(path))
