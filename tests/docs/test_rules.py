"""The page of rules names code and tests that exist, so that nobody looks for them in vain."""

import importlib
import re

import pytest

from tests.docs.pages import ROOT, table

RULES = table("docs/rules.md", "rule")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_names_what_decides_it(rule: str) -> None:
    module, _, name = RULES[rule][0].strip("`").partition(":")
    assert callable(getattr(importlib.import_module(module), name, None)), RULES[rule][0]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_names_a_test_that_would_fail_without_it(rule: str) -> None:
    file, _, name = RULES[rule][1].strip("`").partition("::")
    assert re.search(rf"def {name}\(", (ROOT / "tests" / file).read_text()), RULES[rule][1]
