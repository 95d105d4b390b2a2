"""SSH keys as OpenSSH itself makes them, and what else people paste."""

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rental.domain.errors import InvalidRequestError
from rental.domain.ssh_key import MAX_COMMENT_LENGTH, MAX_LINE_LENGTH, SshKey, parse_ssh_key, read_ssh_key

COMMENT = "someone@laptop of work"


def make_key(folder: Path, *kind: str) -> tuple[str, str]:
    """The line of the public key, and the private one."""
    file = folder / "-".join(kind)
    command = ["ssh-keygen", "-q", "-N", "", "-C", COMMENT, "-f", str(file), "-t", *kind]
    subprocess.run(command, check=True, capture_output=True)
    return file.with_suffix(".pub").read_text(), file.read_text()


@pytest.fixture(scope="module")
def ed25519(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_key(tmp_path_factory.mktemp("keys"), "ed25519")[0]


def security_key(kind: str, *fields: bytes) -> str:
    """As a security key makes it, which no test has: OpenSSH's PROTOCOL.u2f."""
    blob = b"".join(len(each).to_bytes(4, "big") + each for each in (kind.encode(), *fields))
    return f"{kind} {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa 256", "ecdsa 384", "ecdsa 521", "rsa 2048", "rsa 4096"])
def test_a_key_is_read_and_has_the_fingerprint_that_openssh_shows(tmp_path: Path, kind: str) -> None:
    name, *bits = kind.split()
    line, _ = make_key(tmp_path, name, *[each for bit in bits for each in ("-b", bit)])
    key = parse_ssh_key(line)
    assert (key.line, key.comment) == (line.strip(), COMMENT)
    shown = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=line, check=True, capture_output=True, text=True)
    assert shown.stdout.split()[1] == key.fingerprint


def test_what_was_kept_is_read_back_as_it_was(ed25519: str) -> None:
    for text in (ed25519, ed25519.removesuffix(f" {COMMENT}\n")):
        key = parse_ssh_key(text)
        assert read_ssh_key(key.line) == key
        assert key.fingerprint == f"SHA256:{base64.b64encode(bytes.fromhex(key.id)).decode().rstrip('=')}"


def test_a_comment_is_short_enough_to_be_kept_with_every_contract(ed25519: str) -> None:
    bare = " ".join(ed25519.split(" ", 2)[:2])
    assert parse_ssh_key(f"{bare} {'ü' * MAX_COMMENT_LENGTH}").comment == "ü" * MAX_COMMENT_LENGTH
    with pytest.raises(InvalidRequestError, match="Shorten it"):
        parse_ssh_key(f"{bare} {'x' * (MAX_COMMENT_LENGTH + 1)}")


def test_the_largest_key_of_openssh_fits_a_line() -> None:
    modulus = (1 << 16_383).to_bytes(2049, "big")
    line = security_key("ssh-rsa", b"\x01\x00\x01", modulus)
    assert parse_ssh_key(f"{line} {'x' * MAX_COMMENT_LENGTH}").comment
    assert len(line) + 1 + MAX_COMMENT_LENGTH < MAX_LINE_LENGTH


def test_another_spelling_of_the_same_bits_is_the_same_key() -> None:
    line = security_key("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:")
    assert line.endswith("o=")
    assert parse_ssh_key(line.removesuffix("o=") + "p=") == parse_ssh_key(line)


def test_keys_of_security_keys_are_read() -> None:
    for line in (
        security_key("sk-ssh-ed25519@openssh.com", bytes(32), b"ssh:"),
        security_key("sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\x04" + bytes(64), b"ssh:"),
    ):
        assert parse_ssh_key(line).line == line


def test_a_key_without_comment_is_the_same_key(ed25519: str) -> None:
    kind, key, _ = ed25519.split(" ", 2)
    bare = parse_ssh_key(f"  {kind}  {key}\n")
    assert bare == SshKey(kind, key, "")
    assert bare.fingerprint == parse_ssh_key(ed25519).fingerprint


def test_what_sshd_would_obey_or_trip_over_is_refused(ed25519: str) -> None:
    line = ed25519.strip()
    kind, key, _ = line.split(" ", 2)
    for wrong in (
        "",
        "no key",
        f'command="reboot" {line}',
        f"{line}\n{line}",
        f"{line}\r{line}",
        f"{line}\x00",
        f"cert-authority {line}",
        f"ssh-dss {key}",
        f"ssh-ed25519-cert-v01@openssh.com {key}",
        f"ssh-rsa {key}",
        f"{kind} {key[:-4]}",
        f"{kind} {key}AAAA",
        f"{kind} =",
        f"{line}{'x' * 9000}",
        security_key("ecdsa-sha2-nistp256", b"nistp384", b"\x04" + bytes(64)),
        security_key("ecdsa-sha2-nistp256", b"nistp256", bytes(65)),
        security_key("ssh-rsa", b"\x01\x00\x01", b"\x80" + bytes(255)),
        security_key("ssh-rsa", b"\x01\x00\x01", b"\x01" + bytes(2048)),
    ):
        with pytest.raises(InvalidRequestError) as refused:
            parse_ssh_key(wrong)
        assert key not in str(refused.value)


def exported(folder: Path, kind: str, *form: str) -> tuple[str, str]:
    """What ssh-keygen exports of a key, and the line of its .pub file."""
    line, _ = make_key(folder, kind)
    file = folder / f"{kind}.pub"
    done = subprocess.run(["ssh-keygen", "-e", *form, "-f", str(file)], check=True, capture_output=True, text=True)
    return done.stdout, line


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_a_file_of_rfc_4716_is_the_key_in_it(tmp_path: Path, kind: str) -> None:
    text, line = exported(tmp_path, kind)
    assert text.startswith("---- BEGIN SSH2 PUBLIC KEY ----")
    for each in (text, text.replace("\n", "\r\n")):
        key = parse_ssh_key(each)
        assert key.fingerprint == parse_ssh_key(line).fingerprint
        assert "256" in key.comment or "3072" in key.comment
    folded = text.replace('Comment: "', 'Subject: me\nComment: "a \\\nlong ')
    assert parse_ssh_key(folded).comment.startswith("a long ")


def putty_file(line: str, private: str = "") -> str:
    kind, key, comment = line.strip().split(" ", 2)
    lines = [key[start : start + 64] for start in range(0, len(key), 64)]
    heading = f"PuTTY-User-Key-File-3: {kind}\r\nEncryption: none\r\nComment: {comment}\r\n"
    return f"{heading}Public-Lines: {len(lines)}\r\n" + "\r\n".join(lines) + f"\r\n{private}"


def test_the_public_part_of_a_putty_file_is_taken_and_a_whole_one_is_a_private_key(ed25519: str) -> None:
    assert parse_ssh_key(putty_file(ed25519)) == parse_ssh_key(ed25519)
    with pytest.raises(InvalidRequestError, match="private key"):
        parse_ssh_key(putty_file(ed25519, "Private-Lines: 1\r\nAAAA\r\nPrivate-MAC: 00\r\n"))


def test_a_key_is_taken_as_terminals_editors_and_messages_leave_it(ed25519: str) -> None:
    line = ed25519.strip()
    kind, key, comment = line.split(" ", 2)
    for pasted in (
        f'"{line}"',
        f"\ufeff{line}\r\n",
        f"# my key\n\n{line}\n",
        f"{kind}\t{key}\t{comment}",
        f"{kind}\u00a0{key} {comment}",
        f"{kind} {key[:30]}\n{key[30:]} {comment}",
        f"{kind} {key[:30]}\r\n{key[30:60]}\r\n{key[60:]} {comment}",
    ):
        assert parse_ssh_key(pasted) == parse_ssh_key(ed25519), pasted
    for pasted in (key, f"{key[:30]}\n{key[30:]}\n"):
        assert parse_ssh_key(pasted).fingerprint == parse_ssh_key(ed25519).fingerprint


def test_what_is_no_key_is_refused_by_what_it_is(ed25519: str, tmp_path: Path) -> None:
    line = ed25519.strip()
    pem, _ = exported(tmp_path, "rsa", "-m", "PEM")
    pkcs8, _ = exported(tmp_path, "ecdsa", "-m", "PKCS8")
    for pasted, sentence in (
        (f'command="reboot",no-pty {line}', "options"),
        (f"restrict {line}", "options"),
        (f"example.com,10.0.0.1 {line}", "name of a host"),
        (f"{line}\n{line}", "several"),
        (pem, "ssh-keygen -i"),
        (pkcs8, "ssh-keygen -i"),
        (f"256 {parse_ssh_key(line).fingerprint} me (ED25519)", "fingerprint"),
        (parse_ssh_key(line).fingerprint, "fingerprint"),
        ("~/.ssh/id_ed25519.pub", "name of a file"),
        ("C:\\Users\\me\\.ssh\\id_ed25519.pub", "name of a file"),
        ("id_rsa.pub", "name of a file"),
        (f"ssh-ed25519-cert-v01@openssh.com {line.split()[1]}", "certificate"),
        (f"cert-authority {line}", "certificate"),
        (f"ssh-dss {line.split()[1]}", "DSA"),
    ):
        with pytest.raises(InvalidRequestError, match=sentence) as refused:
            parse_ssh_key(pasted)
        assert line.split()[1] not in str(refused.value)


def test_a_private_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    _, private = make_key(tmp_path, "ed25519")
    with pytest.raises(InvalidRequestError, match="private key") as refused:
        parse_ssh_key(private)
    assert private.splitlines()[1] not in str(refused.value)


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="at least 2048 bits"):
        parse_ssh_key(make_key(tmp_path, "rsa", "-b", "1024")[0])


@given(st.text(max_size=200), st.binary(max_size=120))
def test_nothing_else_than_a_refusal_comes_of_anything(text: str, blob: bytes) -> None:
    for each in (text, f"ssh-ed25519 {base64.b64encode(blob).decode()} {text}"):
        with pytest.raises(InvalidRequestError):
            parse_ssh_key(each)
