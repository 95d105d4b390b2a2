"""allowedPattern as the real agent reads it: Go's regexp, not Python's.

The differences matter for safety. In Go "$" matches only at the very end, in Python also before a last newline, which
would let a second shell line through. Go's classes are ASCII, it has no look-around and no back-references, and it
refuses a counted repeat above 1,000.
"""

import re
from functools import lru_cache

MAX_COUNTED_REPEAT = 1000

_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|\(\?[=!<]|.", re.DOTALL)
_COUNTS = re.compile(r"\d+")


class PatternError(Exception):
    """A pattern that Go's regexp does not compile."""


@lru_cache(maxsize=64)
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern so that `search` answers as Go's MatchString does."""
    translated = "".join(_translate(token) for token in _TOKEN.findall(pattern))
    try:
        return re.compile(translated, re.ASCII)
    except re.error as error:
        raise PatternError(f"error parsing regexp: {error}") from error


def matches(pattern: str, value: str) -> bool:
    """Say whether a parameter value is allowed."""
    return compile_pattern(pattern).search(value) is not None


def _translate(token: str) -> str:
    if token == "$":
        return r"\Z"
    if token in (r"\z", r"\Z"):
        return _translate_end(token)
    if token in ("(?=", "(?!", "(?<"):
        raise PatternError("error parsing regexp: invalid or unsupported Perl syntax")
    if token.startswith("\\") and token[1:].isdigit():
        raise PatternError("error parsing regexp: invalid escape sequence")
    if token.startswith("{") and any(int(count) > MAX_COUNTED_REPEAT for count in _COUNTS.findall(token)):
        raise PatternError(f"error parsing regexp: invalid repeat count: `{token}`")
    return token


def _translate_end(token: str) -> str:
    if token == r"\Z":
        raise PatternError("error parsing regexp: invalid escape sequence: `\\Z`")
    return r"\Z"
