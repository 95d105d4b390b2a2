"""The layer with third-party libraries, as `python -m infra.layer` built it."""

from pathlib import Path

from aws_cdk import AssetHashType
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import Stage
from infra.layer import LayerMissingError, built_fingerprint, fingerprint
from infra.paths import LAYER_PLACEHOLDER


class DependencyLayer(lambda_.LayerVersion):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage, built: Path) -> None:
        super().__init__(
            scope,
            construct_id,
            # The hash names what is wanted, not the bytes pip produced, so every machine synthesizes the same.
            code=lambda_.Code.from_asset(
                str(layer_directory(stage, built)),
                asset_hash=fingerprint(),
                asset_hash_type=AssetHashType.CUSTOM,
            ),
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
            compatible_architectures=[lambda_.Architecture.ARM_64],
        )


def layer_directory(stage: Stage, built: Path) -> Path:
    if not stage.require_layer:
        return LAYER_PLACEHOLDER
    if built_fingerprint(built) != fingerprint():
        raise LayerMissingError(
            f"stage {stage.name} needs the dependency layer, and {built.parent.name}/{built.name} is missing or older "
            "than functions/requirements.txt and constraints.txt: run `make layer` first"
        )
    return built
