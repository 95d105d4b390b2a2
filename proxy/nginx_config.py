"""What nginx is told: one origin for each instance, TLS ended here and begun again to the container.

An instance's name decides everything: the route that is asked for, and the name that the certificate at the other end
must have. So a request for one instance cannot end at another, whoever listens there. Nothing of a request is logged
but its host name and status: JupyterLab's token travels in links.
"""

from __future__ import annotations

import re

from proxy.settings import Settings

ROUTE = "/.gpulease-route"
A_DAY = "1d"


def nginx_config(settings: Settings) -> str:
    """For `nginx -c`. nginx is run as nobody special, so all its files are in the proxy's own folder."""
    folder = settings.folder
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/nginx/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    listen = f"{settings.public_address}:{settings.https_port}"
    return f"""daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
worker_processes auto;
worker_rlimit_nofile 16384;
events {{ worker_connections 8000; }}
http {{
{temporary}
    log_format line escape=json '{{"at":$msec,"event":"request","host":"$host","status":$status,"bytes":$bytes_sent}}';
    access_log /dev/stdout line;
    server_tokens off;
    # Who connects and says nothing, or too slowly, makes room.
    client_header_timeout 10s;
    default_type application/octet-stream;
    map $http_upgrade $connection_word {{ default upgrade; '' ''; }}
    upstream desk {{ server unix:{settings.desk_socket}; }}

    ssl_certificate {settings.tls_certificate};
    ssl_certificate_key {settings.tls_key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;

    server {{
        listen {listen} ssl default_server;
        server_name _;
        return 404;
    }}
    server {{
        listen {listen} ssl;
        server_name "~^j-(?<instance>[1-9][0-9]{{0,15}})\\.{re.escape(settings.zone)}$";
        client_max_body_size 0;
        # A name in the handshake and another in the request would be one origin's connection used for another.
        if ($ssl_server_name != $host) {{ return 421; }}
{_locations(settings)}
    }}
}}
"""


def _locations(settings: Settings) -> str:
    return f"""        location = {ROUTE} {{
            internal;
            proxy_pass http://desk/route;
            proxy_pass_request_headers off;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Instance $instance;
        }}
        location / {{
            auth_request {ROUTE};
            auth_request_set $jupyter_port $upstream_http_x_jupyter_port;
            error_page 403 = @unknown;
            error_page 502 504 = @away;

            proxy_pass https://{settings.loopback_address}:$jupyter_port;
            proxy_ssl_verify on;
            proxy_ssl_verify_depth 2;
            proxy_ssl_trusted_certificate {settings.ca};
            proxy_ssl_server_name on;
            proxy_ssl_name $host;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
            proxy_ssl_session_reuse off;

            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_word;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header Forwarded "";
            # No instance may set what other instances' pages are sent.
            proxy_cookie_domain ~.+ $host;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_connect_timeout 10s;
            proxy_read_timeout {A_DAY};
            proxy_send_timeout {A_DAY};
        }}
        location @unknown {{
            default_type text/plain;
            return 404 "There is no such instance here, or its host is not connected.\\n";
        }}
        location @away {{
            default_type text/plain;
            return 502 "The instance cannot be reached now. Is it running?\\n";
        }}"""
