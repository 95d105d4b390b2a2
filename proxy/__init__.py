"""The proxy for hosts behind NAT: clients reach it, hosts connect to it, and it joins the two.

    client ─ ssh ───► proxy_ssh_port ─────────────┐           (end to end: the proxy sees ciphertext)
    client ─ https ─► nginx ─► proxy_jupyter_port ┴─► sshd ═══ the host's tunnel ═══► container

sshd and nginx do the work. This package writes what they are told, answers what they ask (`desk`), ends what is no
longer permitted (`warden`) and keeps them running (`supervisor`). It needs nothing but Python's standard library, and
no privilege: sshd runs as the account that the tunnels log in to.
"""
