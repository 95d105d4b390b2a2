"""`python -m proxy.secret_files --config FILE --host-key KEY`: the secret on standard input becomes a proxy's files.

For machines that have nothing of their own and take all of it from a store of secrets: JSON of exactly `api_key`,
`host_key`, `tls_certificate` and `tls_key`. What cannot be right never takes the place of what was there: the host key
must be the one that hosts are told, and the certificate's key its own. What has not changed is not touched.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

from proxy.settings import API_KEY, Settings, SettingsError
from proxy.supervisor import find_program

PARTS = ("api_key", "host_key", "tls_certificate", "tls_key")
MOST_BYTES = 1 << 17


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m proxy.secret_files", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--host-key", required=True, help="the public half that hosts know: `ssh-ed25519 AAAA…`")
    options = parser.parse_args()
    os.umask(0o077)
    try:
        changed = write_secret(Settings.load(options.config), sys.stdin.read(MOST_BYTES), options.host_key)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    print("changed: " + (", ".join(changed) or "nothing"))
    return 0


def write_secret(settings: Settings, text: str, host_key: str) -> list[str]:
    """What has changed. Raises SettingsError, which repeats nothing of the secret."""
    parts = _read(text)
    places = _places(settings)
    new = {name: place.with_name(place.name + ".new") for name, place in places.items()}
    try:
        for name, place in new.items():
            place.touch(mode=0o600)
            place.write_text(parts[name].strip() + "\n")
        public = _public_half(new["host_key"])
        if public != host_key:
            raise SettingsError("The secret's host_key is not the one that hosts are told.")
        _check_certificate(new["tls_certificate"], new["tls_key"])
        _public_place(settings).write_text(public + "\n")
        return [name for name in PARTS if _replace(new[name], places[name])]
    finally:
        for place in new.values():
            place.unlink(missing_ok=True)


def _read(text: str) -> dict[str, str]:
    try:
        parts = json.loads(text)
    except ValueError:
        raise SettingsError("The secret is not there yet, or no JSON.") from None
    if (
        not isinstance(parts, dict)
        or set(parts) != set(PARTS)
        or not all(isinstance(each, str) for each in parts.values())
    ):
        raise SettingsError(f"The secret has {', '.join(PARTS)}, each a text, and nothing else.")
    if not API_KEY.fullmatch(parts["api_key"].strip()):
        raise SettingsError("The secret's api_key is no API key: it is one line of letters, digits, - and _.")
    return parts


def _places(settings: Settings) -> dict[str, Path]:
    if settings.tls_certificate is None or settings.tls_key is None:
        raise SettingsError("tls_certificate and tls_key are missing.")
    named = (settings.api_key_file, str(settings.host_key), settings.tls_certificate, settings.tls_key)
    return dict(zip(PARTS, map(Path, named), strict=True))


def _public_place(settings: Settings) -> Path:
    return settings.host_key.with_name(settings.host_key.name + ".pub")


def _public_half(key: Path) -> str:
    command = [find_program("ssh-keygen"), "-y", "-P", "", "-f", str(key)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SettingsError("The secret's host_key is no private key of OpenSSH without a passphrase.")
    return " ".join(done.stdout.split()[:2])


def _check_certificate(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        raise SettingsError("The secret's tls_certificate and tls_key are not PEM that belongs together.") from None


def _replace(new: Path, place: Path) -> bool:
    if place.exists() and place.read_bytes() == new.read_bytes():
        return False
    new.replace(place)
    return True


if __name__ == "__main__":
    sys.exit(main())
