"""Reads the documents as the tests need them: pages, rows of tables, links."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("statemachines/*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text()


def table(name: str, first_column: str) -> dict[str, list[str]]:
    """The rows of the page's tables whose first column has this heading: the name in it to the cells after it."""
    rows: dict[str, list[str]] = {}
    heading = None
    for line in page(name).splitlines():
        if not line.startswith("|"):
            heading = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        heading = heading or cells[0]
        if heading == first_column and cells[0] != heading and not cells[0].startswith("---"):
            rows[cells[0].strip("`")] = cells[1:]
    assert rows, f"{name} has no table of {first_column}"
    return rows


def links(document: Path) -> Iterator[tuple[str, str]]:
    """Links into this repository: path (empty for the same page) and heading."""
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" not in target:
            path, _, heading = target.partition("#")
            yield path, heading


def anchors(document: Path) -> set[str]:
    """The headings of a page as links name them."""
    found = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
