"""allowedPattern means what Go's regexp means."""

import pytest

from local.ssm.patterns import PatternError, compile_pattern, matches

ORDER = "^[A-Za-z0-9_-]+$"


@pytest.mark.parametrize("value", ["a", "eyJ2IjoxfQ", "-_-", "0" * 50_000])
def test_what_is_allowed(value: str) -> None:
    assert matches(ORDER, value)


@pytest.mark.parametrize(
    "value", ["", "a\n", "\na", "a b", "a'", 'a"', "a$b", "a`id`", "$(id)", "a;b", "a\\", "é", "٣"]
)
def test_what_is_not(value: str) -> None:
    assert not matches(ORDER, value)


@pytest.mark.parametrize("pattern", ["a{1001}", "a{1,4096}", "(?=a)", "(?!a)", "(?<=a)b", r"(a)\1", "[", r"a\Z"])
def test_patterns_that_the_agent_cannot_compile_are_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "value", "allowed"),
    [
        (r"^\d+$", "٣", False),
        (r"^[$]$", "$", True),
        (r"^\$$", "$", True),
        (r"a\z", "a\n", False),
        (r"^a{1000}$", "a" * 1000, True),
        ("b", "abc", True),
        (r"^[^\]]+$", "a]", False),
    ],
)
def test_details(pattern: str, value: str, allowed: bool) -> None:
    assert matches(pattern, value) is allowed
