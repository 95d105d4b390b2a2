"""Documents hang together: every page is linked, every link leads somewhere, every make target is explained."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCUMENTS, ROOT, anchors, links, page, table


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for path, heading in links(document):
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{path} is not there"
        assert not heading or heading in anchors(target), f"{path} has no heading {heading}"


@pytest.mark.parametrize("document", sorted(ROOT.glob("docs/*.md")), ids=_name)
def test_every_page_is_linked_in_the_readme(document: Path) -> None:
    assert f"({_name(document)})" in page("README.md").partition("## Read on")[2]


def test_every_make_target_is_explained_and_no_other() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", page("Makefile"), re.MULTILINE))
    assert set(table("CONTRIBUTING.md", "command")) == {f"make {target}" for target in targets}


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE)
    assert set(named) <= targets


def test_every_module_that_is_to_be_run_exists() -> None:
    for document in DOCUMENTS:
        for module in re.findall(r"python -m ((?:infra|local|tests)[\w.]*)", document.read_text()):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
