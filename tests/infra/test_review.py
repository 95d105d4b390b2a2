"""What the linters of AWS find: nothing that has no answer."""

import subprocess
import sys
from pathlib import Path

from tests.infra.synthesis import Synthesized

# The CDK writes dependencies on a role out even where a reference implies them.
REDUNDANT_DEPENDENCY = "W3005"
CFN_LINT = Path(sys.executable).with_name("cfn-lint")


def test_cdk_nag_finds_nothing_without_an_answer(prod: Synthesized) -> None:
    assembly = prod.app.synth()
    found = [f"{m.id}: {m.entry.data}" for stack in assembly.stacks for m in stack.messages]
    assert not [finding for finding in found if "AwsSolutions" in finding]


def test_cdk_nag_has_looked(prod: Synthesized) -> None:
    """An answered finding leaves its reason in the template."""
    answered = [name for name, found in prod.all_resources() if "cdk_nag" in found.get("Metadata", {})]
    assert len(answered) > 20


def test_cfn_lint_is_content_with_every_template(prod: Synthesized, local: Synthesized) -> None:
    templates = [str(path) for made in (prod, local) for path in made.folder.glob("*.template.json")]
    command = [str(CFN_LINT), "--ignore-checks", REDUNDANT_DEPENDENCY, "--regions", "us-east-1"]
    done = subprocess.run([*command, "--", *templates], capture_output=True, text=True, check=False)
    assert len(templates) == 6
    assert done.returncode == 0, done.stdout
