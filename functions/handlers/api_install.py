"""/v1/host/install.sh and /v1/host/package: what makes a machine a host. Nothing in them is secret."""

from functools import cache
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import entry_point, make_app
from rental.adapters import wiring
from rental.adapters.host_package import HostPackage, read_host_package
from rental.adapters.settings import AddressSettings, PackageSettings, from_env

app = make_app()
handler = entry_point(app)

# Script and package are of one deployment: none of them may be an older one that somebody has kept.
UNKEPT = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@cache
def package() -> HostPackage:
    """It cannot change under a running function: another one has another key."""
    settings = from_env(PackageSettings)
    return read_host_package(wiring.client("s3"), settings.host_package_bucket, settings.host_package_key)


@app.get("/v1/host/install.sh")
def show_installer() -> Response[str]:
    script = package().installer(from_env(AddressSettings).api_url)
    return Response(HTTPStatus.OK, "text/x-shellscript; charset=utf-8", script, headers={**UNKEPT})


@app.get("/v1/host/package")
def show_package() -> Response[bytes]:
    named = {"Content-Disposition": f'attachment; filename="{package().file_name}"'}
    return Response(HTTPStatus.OK, "application/zip", package().body, headers={**UNKEPT, **named})
