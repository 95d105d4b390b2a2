"""The CDK's entry point: `cdk synth`, `cdk deploy`. Everything is in `infra/`."""

from infra.synth import build_app

build_app().synth()
