"""Texts that programs trip over: what a shell, a terminal, a parser or a careless quoting would make something of."""

HOSTILE = {
    "command substitution": "$(touch /tmp/pwned)`touch /tmp/pwned`",
    "another command": "x; touch /tmp/pwned && reboot | cat > /tmp/pwned #",
    "quotes": "'\"\\'\\\"''\"\"",
    "lines": "first\nsecond\r\nthird\rfourth\n",
    "tabs and spaces": "  \t leading and trailing \t ",
    "an option": "--privileged",
    "two dashes": "--",
    "a path": "../../../../etc/passwd",
    "a glob": "* ? [a-z] {a,b} ~",
    "variables": "$HOME ${PATH} %PATH% {{.ID}} {0} %s%n%x",
    "an assignment": "LD_PRELOAD=/tmp/x.so",
    "JSON": '{"image": "x"}, [1, null]',
    "SQL": "'; DROP TABLE contracts; --",
    "markup": "<script>alert(1)</script>&amp;<!--",
    "a template": "{{constructor.constructor('return 1')()}} #{7*7} {% raw %}",
    "a log line": '\n{"level":"INFO","message":"refused","why":"forged"}\n',
    "escapes": "\\n\\0\\x00\\u0000",
    "terminal controls": "\x1b[2J\x1b]0;title\x07\x08\x7f\x01\x1f",
    "right to left": "\u202egnp.exe\u202c \u2066\u2067\u2069 \u200f",
    "invisible": "\u200b\u200d\ufeff\u00ad",
    "line separators": "\u2028\u2029\u0085\u000b\u000c",
    "not composed": "e\u0301 \u00e9 \ufb01",
    "beyond sixteen bits": "🚀👩\u200d💻 \U0001d573 \U0010ffff",
    "no character": "\ufffe\uffff\ufdd0",
    "many marks": "Z" + "\u0310\u0352" * 60,
    "base64url": "LS1wcml2aWxlZ2Vk_-",
    "empty": "",
    "as long as may be": "x" * 4096,
}
"""All are texts that may be sent, run and shown as they are."""

REFUSED = {
    "a NUL": "before\0after",
    "a NUL alone": "\0",
    "100 kB": "x" * 100_000,
    "half a surrogate": "\ud800",
    "the other half": "a\udfffb",
}
"""No container can be given these, or nobody needs them: 400, wherever they stand."""
