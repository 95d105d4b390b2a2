"""What the linters of AWS find: nothing that has no answer."""

import subprocess
import sys
from pathlib import Path

from tests.infra.synthesis import Synthesized

# The CDK writes dependencies on a role out even where a reference implies them.
REDUNDANT_DEPENDENCY = "W3005"
CFN_LINT = Path(sys.executable).with_name("cfn-lint")


def test_cdk_nag_finds_nothing_without_an_answer(reviewed: Synthesized) -> None:
    assembly = reviewed.app.synth()
    found = [f"{m.id}: {m.entry.data}" for stack in assembly.stacks for m in stack.messages]
    assert not [finding for finding in found if "AwsSolutions" in finding]


def test_cdk_nag_has_looked(reviewed: Synthesized) -> None:
    """An answered finding leaves its reason in the template."""
    answered = [name for name, found in reviewed.all_resources() if "cdk_nag" in found.get("Metadata", {})]
    assert len(answered) > 20


def test_every_answer_gives_a_reason_and_means_one_rule(reviewed: Synthesized) -> None:
    for name, found in reviewed.all_resources():
        for answer in found.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", []):
            assert len(answer["reason"]) > 20, name
            assert answer["id"].startswith("AwsSolutions-"), name


def test_only_the_local_cloud_does_without_tls(reviewed: Synthesized) -> None:
    assert ("AwsSolutions-SQS4" in str(reviewed.templates["Service"])) == (
        "GpuLease-local-" in str(reviewed.templates["Service"])
    )


def test_cfn_lint_is_content_with_every_template(reviewed: Synthesized) -> None:
    templates = [str(path) for path in reviewed.folder.glob("*.template.json")]
    command = [str(CFN_LINT), "--ignore-checks", REDUNDANT_DEPENDENCY, "--regions", "us-east-1"]
    done = subprocess.run([*command, "--", *templates], capture_output=True, text=True, check=False)
    assert len(templates) == len(reviewed.templates)
    assert done.returncode == 0, done.stdout
