"""The CDK's entry point: `cdk synth`, `cdk deploy`. Everything is in `infra/`."""

import sys

from infra.config import StageError
from infra.layer import LayerMissingError
from infra.synth import build_app

try:
    build_app().synth()
except (StageError, LayerMissingError) as error:
    sys.exit(str(error))
