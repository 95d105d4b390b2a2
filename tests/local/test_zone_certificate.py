"""The local zone's certificate is one that strict clients take, as Python's are from 3.13 on."""

from __future__ import annotations

import ssl
from pathlib import Path

from local import zone_certificate


def test_a_strict_client_takes_the_zone_s_certificate(tmp_path: Path) -> None:
    certificate, key = zone_certificate.provide(tmp_path, "zone.example")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "authority.crt"))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname="j-1.zone.example")
    for _ in range(3):
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"
