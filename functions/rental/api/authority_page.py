"""How to trust the service's certificate authority, as one page: once for each system and browser."""

import hashlib
import ssl
from html import escape

from rental.api.page_style import STYLE

FILE = "gpulease-ca.crt"
WAYS = (
    (
        "Debian, Ubuntu",
        "For curl, git, Python's standard library and most programs of the system.",
        "sudo cp {file} /usr/local/share/ca-certificates/{file}\nsudo update-ca-certificates",
    ),
    (
        "Fedora, RHEL",
        "The same there.",
        "sudo cp {file} /etc/pki/ca-trust/source/anchors/{file}\nsudo update-ca-trust",
    ),
    (
        "macOS",
        "For Safari, Chrome, curl and most programs.",
        "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain {file}",
    ),
    (
        "Windows",
        "For Edge, Chrome and most programs. In a terminal, for your own account; PowerShell or cmd.",
        "certutil -user -addstore Root {file}",
    ),
    (
        "Firefox",
        "It has a store of its own on Linux. Settings, Privacy & Security, Certificates, View Certificates,"
        " Authorities, Import: choose the file and tick “Trust this CA to identify websites”.",
        "",
    ),
    (
        "Chrome on Linux",
        "It has a store of its own too, which certutil of the package libnss3-tools (Fedora: nss-tools) fills."
        " Restart Chrome after it.",
        "mkdir -p ~/.pki/nssdb\ncertutil -d sql:$HOME/.pki/nssdb -A -t C,, -n GPULease -i {file}",
    ),
    (
        "curl, this time only",
        "Nothing is installed.",
        "curl --cacert {file} https://ADDRESS:PORT/api",
    ),
    (
        "Python with requests",
        'It has a list of its own: name the file, in a call as verify="{file}" or for a whole process.',
        "REQUESTS_CA_BUNDLE={file} python3 program.py",
    ),
)
STEPS = "main { grid-column: 1 / -1; max-width: 52rem; } dd { margin: 0; overflow-wrap: anywhere; }"


def render_authority_page(certificate: str, api_url: str, zone: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Trust the notebooks of GPULease</title>
<style>{STYLE}{STEPS}</style>
</head>
<body>
<header>
<h1>Trust the notebooks of GPULease</h1>
<p>JupyterLab on a rented GPU is reached over HTTPS, with a certificate that this service signs. Browsers and programs
believe it once they trust the service's authority. That is done once for each system or browser.</p>
<p>The authority can vouch only for servers at IP addresses and for names in <code>{escape(zone)}</code>; programs that
check a trusted authority's own limits refuse anything else from it. Do not install it where you would not want that
much.</p>
</header>
<main>
<article><h3>1. Get it</h3>
<pre><code>curl -fsS {escape(api_url)}/v1/ca.crt -o {FILE}</code></pre>
<p>Or <a href="/v1/ca.crt" download="{FILE}">download it</a>.</p></article>
<article><h3>2. See that it is the right one</h3>
<pre><code>openssl x509 -in {FILE} -noout -fingerprint -sha256</code></pre>
<dl><dt>SHA-256 fingerprint</dt><dd><code id="fingerprint">{fingerprint_of(certificate)}</code></dd></dl></article>
<h2>3. Trust it</h2>
{"".join(_way(*each) for each in WAYS)}
</main>
</body>
</html>
"""


def fingerprint_of(certificate: str) -> str:
    """SHA-256 of the certificate, as openssl and browsers show it."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest().hex(":").upper()


def _way(system: str, text: str, commands: str) -> str:
    told = f"<pre><code>{escape(commands.format(file=FILE))}</code></pre>" if commands else ""
    return f"<article><h3>{escape(system)}</h3><p>{escape(text.format(file=FILE))}</p>{told}</article>\n"
