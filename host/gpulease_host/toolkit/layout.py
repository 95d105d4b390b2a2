"""Where the toolkit, an instance's own files and its scratch are inside a container; what listens there.

`/.gl` has the length of `/etc`, so that a path in a copied library can be changed in place.
"""

from __future__ import annotations

TOOLKIT = "/.gl"
"""The toolkit, read-only."""
INSTANCE = "/.gl-own"
"""The instance's own files: keys, certificate, token. Read-only, for root."""
SCRATCH = "/.gl-run"
"""Gone with each stop: a tmpfs, for root."""
SCRATCH_BYTES = 16 << 20

SSH_PORT = 10022
JUPYTER_PORT = 10088

BUSYBOX = f"{TOOLKIT}/bin/busybox"
INIT = (BUSYBOX, "sh", f"{TOOLKIT}/inside/init.sh")
LOADER = f"{TOOLKIT}/lib/ld.so"

HOST_KEY_FILE = "host_key"
KEYS_FILE = "authorized_keys"
ONSTART_FILE = "onstart"
ONSTART_EXIT_FILE = "onstart_exit_code"
"""In the scratch."""
STOP_GRACE_FILE = "stop_grace_s"
MODE_FILE = "mode"
TOKEN_FILE = "jupyter_token"
CERTIFICATE_FILE = "tls.crt"
TLS_KEY_FILE = "tls.key"
FOLDER_FILE = "folder"
"""Where notebooks are: the image's working directory."""
