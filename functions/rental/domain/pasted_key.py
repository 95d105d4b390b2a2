"""What people paste where an SSH key is asked for, made the one line that is meant; or what it is instead.

Taken: the line of a `.pub` file also when it is quoted, broken by a terminal or without its kind; files of RFC 4716,
which other programs export; and the public part of PuTTY's files. What would lose its meaning on the way is refused:
options, which nobody would obey, and anything private.
"""

import base64
import binascii
import re

from rental.domain.errors import InvalidRequestError

KIND = r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+"
SPACE = r"[ \t\u00a0]+"
BROKEN = re.compile(rf"({KIND}){SPACE}([A-Za-z0-9+/=\n]+)(?:{SPACE}([^\n]*))?")
ALONE = re.compile(r"AAAA[A-Za-z0-9+/\n]+={0,2}")
BEHIND_SOMETHING = re.compile(rf"\S.*[ \t,]({KIND})[ \t]+AAAA", re.DOTALL)
RFC_4716 = re.compile(r"---- BEGIN SSH2 PUBLIC KEY ----(.*)---- END SSH2 PUBLIC KEY ----", re.DOTALL)
PUTTY = re.compile(r"PuTTY-User-Key-File-\d+: *(\S+)")
INVISIBLE = "\ufeff\u200b\u2060"
ADVICE = "Send the one line of the .pub file"
MISTAKES = (
    (r"PRIVATE KEY|Private-Lines:", "This is a private key: keep it, and send the one line of its .pub file."),
    (
        r"BEGIN ((RSA )?PUBLIC KEY|CERTIFICATE|PGP)",
        f"This is no key of SSH's form. {ADVICE}; of a public key in PEM, `ssh-keygen -i -m PKCS8 -f FILE` makes one.",
    ),
    (r"^([0-9]+ )?(SHA256:|MD5:|([0-9a-f]{2}:){15})", f"This is the fingerprint of an SSH key. {ADVICE} itself."),
    (r"^(?!AAAA)[~/.\w:-]*[/\\]\S*$|^\S+\.pub$", "This is the name of a file. Send the line that is in it."),
    (r"^(\S+-cert-v01@|cert-authority)", f"This is a certificate, or an authority's key. {ADVICE} of your own."),
    (r"^ssh-dss ", "DSA keys are too weak, and OpenSSH takes none. Make an ed25519 key."),
)


def one_line(text: str) -> str:
    """Kind, key and comment, not yet checked. Raises InvalidRequestError, which never has the text in it."""
    text = _bare(text)
    for pattern, sentence in MISTAKES:
        if re.search(pattern, text):
            raise InvalidRequestError(sentence)
    if len(re.findall(rf"^{KIND}[ \t]+AAAA", text, re.MULTILINE)) > 1:
        raise InvalidRequestError("These are several SSH keys. Send each of them by itself.")
    found = _exported(text) or _broken(text)
    if found is None and BEHIND_SOMETHING.match(text):
        raise InvalidRequestError(
            "Before the SSH key stands something else, as options or the name of a host: nobody would obey that here. "
            f"{ADVICE}, which begins with its kind."
        )
    return text if found is None else found


def _bare(text: str) -> str:
    """Without what is around a key in files and messages: comments, quotation marks, what cannot be seen."""
    lines = [line.strip() for line in text.strip().strip(INVISIBLE).replace("\r\n", "\n").split("\n")]
    bare = "\n".join(line for line in lines if line and not line.startswith("#"))
    quoted = len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'`"
    return bare[1:-1].strip() if quoted else bare


def _broken(text: str) -> str | None:
    """A line that came in several, or a key that says its kind only within."""
    found = BROKEN.fullmatch(text)
    if found is not None:
        return _joined(found[1], found[2], found[3])
    kind = _kind_of(text) if ALONE.fullmatch(text) else None
    return None if kind is None else _joined(kind, text, None)


def _exported(text: str) -> str | None:
    """By ssh-keygen -e and commercial programs, or by PuTTY without the private half."""
    putty, rfc = PUTTY.match(text), RFC_4716.fullmatch(text)
    if putty is None and rfc is None:
        return None
    lines = (rfc[1] if rfc else text).replace("\\\n", "").split("\n")
    headers = dict(line.split(":", 1) for line in lines if ":" in line)
    key = "".join(line for line in lines if ":" not in line)
    kind = putty[1] if putty else _kind_of(key)
    return None if kind is None else _joined(kind, key, headers.get("Comment", "").strip().strip('"'))


def _kind_of(key: str) -> str | None:
    try:
        blob = base64.b64decode("".join(key.split()), validate=True)
        return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii")
    except (binascii.Error, ValueError):
        return None


def _joined(kind: str, key: str, comment: str | None) -> str:
    return " ".join(each for each in (kind, "".join(key.split()), comment) if each)
