"""The HTTP API: which function answers which route, and which routes need an API key.

`authorized` routes pass through the authorizer, which lets every request through and says whose key it bears;
the function answers 401 in the service's own shape. Hosts sign with their machine key instead, which `api_machine`
and `api_certificates` verify. What a machine is installed from is for everybody, and so is the authority's
certificate.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    function: str
    authorized: bool = True


ROUTES = (
    Route("GET", "/v1/health", "api_root", authorized=False),
    Route("GET", "/v1/openapi.json", "api_root", authorized=False),
    Route("GET", "/docs", "api_root", authorized=False),
    Route("GET", "/v1/ca.crt", "api_certificates", authorized=False),
    Route("GET", "/ca", "api_certificates", authorized=False),
    Route("GET", "/v1/offers", "api_offers"),
    Route("GET", "/v1/offers/{offer_id}", "api_offers"),
    Route("POST", "/v1/contracts", "api_contracts"),
    Route("GET", "/v1/contracts", "api_contracts"),
    Route("GET", "/v1/contracts/{contract_id}", "api_contracts"),
    Route("DELETE", "/v1/contracts/{contract_id}", "api_contracts"),
    Route("POST", "/v1/contracts/{contract_id}/start", "api_contracts"),
    Route("POST", "/v1/contracts/{contract_id}/stop", "api_contracts"),
    Route("POST", "/v1/contracts/{contract_id}/reboot", "api_contracts"),
    Route("POST", "/v1/contracts/{contract_id}/extend", "api_contracts"),
    Route("PUT", "/v1/contracts/{contract_id}/ssh-keys", "api_contracts"),
    Route("GET", "/v1/contracts/{contract_id}/events", "api_contracts"),
    Route("GET", "/v1/contracts/{contract_id}/jupyter", "api_contracts"),
    Route("GET", "/v1/contracts/{contract_id}/logs", "api_calls"),
    Route("POST", "/v1/contracts/{contract_id}/exec", "api_calls"),
    Route("POST", "/v1/hosts", "api_hosts"),
    Route("GET", "/v1/hosts", "api_hosts"),
    Route("GET", "/v1/hosts/{host_id}", "api_hosts"),
    Route("PUT", "/v1/hosts/{host_id}/listing", "api_hosts"),
    Route("DELETE", "/v1/hosts/{host_id}/listing", "api_hosts"),
    Route("PUT", "/v1/hosts/{host_id}/direct", "api_hosts"),
    Route("DELETE", "/v1/hosts/{host_id}/direct", "api_hosts"),
    Route("POST", "/v1/hosts/{host_id}/lost", "api_hosts"),
    Route("POST", "/v1/hosts/{host_id}/revoke", "api_hosts"),
    Route("POST", "/v1/accounts", "api_accounts"),
    Route("GET", "/v1/accounts", "api_accounts"),
    Route("POST", "/v1/keys", "api_accounts"),
    Route("GET", "/v1/keys", "api_accounts"),
    Route("DELETE", "/v1/keys/{key_id}", "api_accounts"),
    Route("POST", "/v1/ssh-keys", "api_accounts"),
    Route("GET", "/v1/ssh-keys", "api_accounts"),
    Route("DELETE", "/v1/ssh-keys/{ssh_key_id}", "api_accounts"),
    Route("GET", "/v1/proxy/hosts/{fingerprint}", "api_proxy"),
    Route("GET", "/v1/host/install.sh", "api_install", authorized=False),
    Route("GET", "/v1/host/package", "api_install", authorized=False),
    Route("POST", "/v1/host/register", "api_machine", authorized=False),
    Route("POST", "/v1/host/key", "api_machine", authorized=False),
    Route("POST", "/v1/host/tunnel", "api_machine", authorized=False),
    Route("POST", "/v1/host/fetch", "api_machine", authorized=False),
    Route("POST", "/v1/host/manifest", "api_machine", authorized=False),
    Route("POST", "/v1/host/certificates", "api_certificates", authorized=False),
    Route("POST", "/v1/host/call", "api_machine", authorized=False),
    Route("POST", "/v1/host/reply", "api_machine", authorized=False),
)

FALLBACK = Route("ANY", "$default", "api_root", authorized=False)
"""Whatever no route takes: a 404 in the service's own shape."""
