"""The page of the API: everything of the document, sound for browsers and screen readers, nothing from elsewhere."""

from html.parser import HTMLParser
from typing import Any

from rental.api.document import build_document
from rental.api.page import render_page

DOCUMENT = build_document()
PAGE = render_page(DOCUMENT)
VOID = {"meta"}


class Reader(HTMLParser):
    """Walks the page; fails on a tag that is not closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [found[name] for _, found in self.tags if name in found]


READER = Reader()
READER.feed(PAGE)


def test_every_tag_is_closed_and_every_id_unique() -> None:
    assert READER.open == []
    identifiers = READER.values("id")
    assert len(set(identifiers)) == len(identifiers)


def test_every_link_within_the_page_leads_somewhere() -> None:
    targets = {each.removeprefix("#") for each in READER.values("href") if each.startswith("#")}
    assert targets <= set(READER.values("id"))


def test_nothing_comes_from_elsewhere_and_nothing_runs() -> None:
    assert not {"script", "link", "img", "iframe", "form"} & {tag for tag, _ in READER.tags}
    assert not [each for name in ("href", "src") for each in READER.values(name) if not each.startswith(("#", "/v1/"))]
    assert "url(" not in PAGE
    assert "@import" not in PAGE


def test_it_has_what_a_screen_reader_goes_by() -> None:
    tags = [tag for tag, _ in READER.tags]
    assert [tags.count(each) for each in ("h1", "header", "nav", "main", "title")] == [1, 1, 1, 1, 1]
    assert ("html", {"lang": "en"}) in READER.tags
    assert all("scope" in found for tag, found in READER.tags if tag == "th")
    assert READER.tags[tags.index("body") + 1] == ("a", {"class": "skip", "href": "#main"})


def test_it_tells_every_operation_parameter_schema_field_and_code() -> None:
    for path, methods in DOCUMENT["paths"].items():
        assert path in READER.text
        for each in methods.values():
            assert each["operationId"] in READER.values("id")
            assert each["summary"] in READER.text
            assert all(one["name"] in READER.text for one in each.get("parameters", ()))
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert name in READER.text
        assert all(field in READER.text for field in schema.get("properties", ()))
    for code in DOCUMENT["components"]["schemas"]["ErrorCode"]["oneOf"]:
        assert f"error-{code['const']}" in READER.values("id")


def test_what_the_document_says_is_text_and_never_markup() -> None:
    hostile = build_document()
    hostile["paths"]["/v1/health"]["get"]["summary"] = "<script>alert(1)</script>"
    assert "<script>" not in render_page(hostile)


def test_it_is_small() -> None:
    assert len(PAGE) < 200_000
