"""docs/proxy.md has every setting of a proxy with its default."""

from dataclasses import MISSING, fields

from proxy.settings import Settings
from tests.docs.pages import table


def test_every_setting_of_a_proxy_stands_there_with_its_default_and_no_other() -> None:
    written = {name: cells[0].strip("`") for name, cells in table("docs/proxy.md", "proxy setting").items()}
    defaults = {each.name: "" if each.default is MISSING else each.default for each in fields(Settings)}
    assert written == {name: "none" if default is None else str(default) for name, default in defaults.items()}
