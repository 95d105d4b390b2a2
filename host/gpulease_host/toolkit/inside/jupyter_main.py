"""JupyterLab for one instance: HTTPS, a token, root, no browser; nothing secret on the command line.

Certificate and key are read anew for each connection, so a renewed one is used without a restart.
"""

from __future__ import annotations

import os
from pathlib import Path

from jupyterlab.labapp import LabApp
from traitlets.config import Config

OWN = Path("/.gl-own")
PORT = 10088


def main() -> None:
    config = Config()
    server = config.ServerApp
    server.ip = "0.0.0.0"
    server.port = PORT
    server.port_retries = 0
    server.certfile = str(OWN / "tls.crt")
    server.keyfile = str(OWN / "tls.key")
    server.allow_root = True
    server.open_browser = False
    server.quit_button = False
    server.root_dir = (OWN / "folder").read_text()
    # Whoever has the token is let in, by whatever name or address they reach this port.
    server.allow_remote_access = True
    server.terminado_settings = {"shell_command": ["/.gl/bin/session"]}
    server.log_level = "WARN"
    # Named here, because neither the image's nor the home folder's settings are read.
    server.jpserver_extensions = {"jupyter_server_terminals": True}
    config.IdentityProvider.token = (OWN / "jupyter_token").read_text()
    config.PasswordIdentityProvider.password_required = False
    config.KernelSpecManager.ensure_native_kernel = False
    config.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
    config.LabApp.news_url = None
    config.FileContentsManager.delete_to_trash = False
    # argv holds nothing; the extension manager would only offer what it cannot install here.
    config.LabApp.extension_manager = "readonly"
    os.umask(0o077)
    os.chdir(server.root_dir)  # where a kernel is that nobody gave a folder
    app = LabApp.initialize_server(argv=[], config=config)
    app.start()


if __name__ == "__main__":
    main()
