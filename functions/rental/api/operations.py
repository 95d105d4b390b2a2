"""Every operation of the HTTP API, one row each: what it takes, what it answers, how it can refuse.

The OpenAPI document is built from this table (`document.py`). Tests hold it to the deployed routes, to the functions
that answer them and to what they really answer. An operation is named after the function that handles it.
"""

import re
from http import HTTPStatus
from typing import Annotated

from pydantic import Field

from rental.api import answers, direct_schemas, machine_answers, machine_schemas, schemas, ways_in_answers
from rental.api.limits import LOG_CURSOR, LOG_LINES
from rental.api.operation import Operation, Proof, Refusals, Tag
from rental.api.ssh_key_operations import SSH_KEYS
from rental.domain.errors import (
    AlreadyDoneError,
    BusyError,
    CallFailedError,
    ConflictError,
    ContractExpiredError,
    ContractOverError,
    DurationTooLongError,
    HostFullError,
    HostHeardError,
    HostNotReadyError,
    HostOfflineError,
    HostRetiredError,
    InvalidRequestError,
    ModeNotServedError,
    NoAnswerError,
    NoPortsFreeError,
    NotCurrentError,
    NotFoundError,
    NotReachableError,
    OfferTakenError,
    UnauthenticatedError,
)

LogCursor = Annotated[str, Field(pattern=LOG_CURSOR)]
LogLines = Annotated[int, Field(ge=1, le=LOG_LINES)]
CLIENT, HOST, EITHER = ("client",), ("host",), ("client", "host")
OVER: Refusals = (ContractOverError, BusyError)

OFFERS = (
    Operation(
        name="list_offers", method="GET", path="/v1/offers", tag=Tag.OFFERS, roles=EITHER,
        summary="Everything that can be rented now.",
        details="A page holds the offers of up to 100 hosts: `limit` has no effect, and a page may be short.",
        answer=answers.Offer, paged=True,
    ),
    Operation(
        name="show_offer", method="GET", path="/v1/offers/{offer_id}", tag=Tag.OFFERS, roles=EITHER,
        summary="One offer, also while it is taken.",
        answer=answers.Offer,
    ),
)  # fmt: skip

CONTRACTS = (
    Operation(
        name="open_contract", method="POST", path="/v1/contracts", tag=Tag.CONTRACTS, roles=CLIENT,
        summary="Rent an offer.",
        details="The contract is made when this answers 201; its containers start within moments. Of several who want"
        " the same GPUs at once, one gets them and the others are told `offer_taken`.",
        body=schemas.OpenContract, answer=answers.Contract, status=HTTPStatus.CREATED, repeatable=True,
        refusals=(
            DurationTooLongError, NotFoundError, ConflictError, OfferTakenError, HostFullError, HostOfflineError,
            HostNotReadyError, ModeNotServedError, NotReachableError, NoPortsFreeError, BusyError,
        ),
    ),
    Operation(
        name="list_contracts", method="GET", path="/v1/contracts", tag=Tag.CONTRACTS, roles=CLIENT,
        summary="The caller's contracts, those that are over too.",
        answer=answers.Contract, paged=True,
    ),
    Operation(
        name="show_contract", method="GET", path="/v1/contracts/{contract_id}", tag=Tag.CONTRACTS, roles=EITHER,
        summary="One contract, for its client and for the owner of its host.",
        answer=answers.Contract,
    ),
    Operation(
        name="end_contract", method="DELETE", path="/v1/contracts/{contract_id}", tag=Tag.CONTRACTS, roles=CLIENT,
        summary="End a contract early, irreversibly.",
        details="Containers and disk go at once, without grace. A repeated request changes nothing.",
        answer=answers.Contract, refusals=OVER,
    ),
    Operation(
        name="start_contract", method="POST", path="/v1/contracts/{contract_id}/start", tag=Tag.CONTRACTS,
        roles=CLIENT,
        summary="Start a contract's instances, or one.",
        details="An instance whose GPUs are in use waits for them as `scheduling`, first come first served.",
        body=schemas.ChangeInstances, answer=answers.Contract, repeatable=True,
        refusals=(ConflictError, ContractExpiredError, *OVER),
    ),
    Operation(
        name="stop_contract", method="POST", path="/v1/contracts/{contract_id}/stop", tag=Tag.CONTRACTS,
        roles=CLIENT,
        summary="Stop a contract's instances, or one.",
        details="Its data stays. Its GPUs may be used by others until it is started again. Who waits, waits no more.",
        body=schemas.ChangeInstances, answer=answers.Contract, repeatable=True, refusals=(ConflictError, *OVER),
    ),
    Operation(
        name="reboot_contract", method="POST", path="/v1/contracts/{contract_id}/reboot", tag=Tag.CONTRACTS,
        roles=CLIENT,
        summary="Stop a contract's instances, or one, and start them again with the same GPUs.",
        body=schemas.ChangeInstances, answer=answers.Contract, repeatable=True,
        refusals=(ConflictError, ContractExpiredError, *OVER),
    ),
    Operation(
        name="extend_contract", method="POST", path="/v1/contracts/{contract_id}/extend", tag=Tag.CONTRACTS,
        roles=HOST,
        summary="Move a contract's end later, as the owner of its host.",
        details="Within the grace this makes the contract active again, its instances stopped, its data intact.",
        body=schemas.ExtendContract, answer=answers.Contract, repeatable=True, refusals=OVER,
    ),
    Operation(
        name="read_logs", method="GET", path="/v1/contracts/{contract_id}/logs", tag=Tag.CONTRACTS, roles=CLIENT,
        summary="What an instance wrote to its standard outputs.",
        details="The last `tail` lines (100 if left out, at most 1000), those since the time `since`, or, to follow,"
        " those after `cursor`. At most 128 KiB at a time. Also of an instance that is stopped or has exited.",
        answer=answers.Logs, query=("instance_id", "tail", "since", "cursor"),
        refusals=(InvalidRequestError, ConflictError, HostOfflineError, CallFailedError, NoAnswerError),
    ),
    Operation(
        name="run_command", method="POST", path="/v1/contracts/{contract_id}/exec", tag=Tag.CONTRACTS, roles=CLIENT,
        summary="Run a command in a running instance and wait for its output.",
        details="With no shell in between: send `[\"sh\", \"-c\", \"…\"]` for one. It runs once: a repeated request is"
        " refused, because outputs are not kept.",
        body=schemas.RunCommand, answer=answers.CommandResult, repeatable=True,
        refusals=(
            ConflictError, ContractExpiredError, ContractOverError, HostOfflineError, CallFailedError, NoAnswerError,
            AlreadyDoneError,
        ),
    ),
    Operation(
        name="list_timeline", method="GET", path="/v1/contracts/{contract_id}/events", tag=Tag.CONTRACTS,
        roles=EITHER,
        summary="Everything that happened to a contract, oldest first.",
        answer=answers.TimelineEntry, paged=True,
    ),
    Operation(
        name="show_jupyter", method="GET", path="/v1/contracts/{contract_id}/jupyter", tag=Tag.CONTRACTS,
        roles=CLIENT,
        summary="The way into an instance's JupyterLab, with the token.",
        details="The token is the same for the whole life of the contract, and for all its instances.",
        answer=ways_in_answers.JupyterKey, query=("instance_id",),
        refusals=(InvalidRequestError, ConflictError, ContractOverError),
    ),
)  # fmt: skip

HOSTS = (
    Operation(
        name="add_host", method="POST", path="/v1/hosts", tag=Tag.HOSTS, roles=HOST,
        summary="Announce a machine. It has one hour to register.",
        details="Run `install` on it, as root.",
        body=schemas.AddHost, answer=answers.Admission, status=HTTPStatus.CREATED, repeatable=True,
        refusals=(AlreadyDoneError, BusyError),
    ),
    Operation(
        name="list_hosts", method="GET", path="/v1/hosts", tag=Tag.HOSTS, roles=HOST,
        summary="The caller's hosts.",
        answer=answers.Host, paged=True,
    ),
    Operation(
        name="show_host", method="GET", path="/v1/hosts/{host_id}", tag=Tag.HOSTS, roles=HOST,
        summary="One host, with what is on it.",
        answer=answers.HostView,
    ),
    Operation(
        name="list_for_rent", method="PUT", path="/v1/hosts/{host_id}/listing", tag=Tag.HOSTS, roles=HOST,
        summary="Put a host on the market, or change how it stands there.",
        details="Every offer of the host gets a new id. Contracts keep their prices.",
        body=schemas.ListHost, answer=answers.HostView, refusals=(HostNotReadyError, HostRetiredError, BusyError),
    ),
    Operation(
        name="unlist", method="DELETE", path="/v1/hosts/{host_id}/listing", tag=Tag.HOSTS, roles=HOST,
        summary="Take a host off the market. Its contracts stay.",
        answer=answers.HostView, refusals=(HostNotReadyError, HostRetiredError, BusyError),
    ),
    Operation(
        name="declare_direct", method="PUT", path="/v1/hosts/{host_id}/direct", tag=Tag.HOSTS, roles=HOST,
        summary="Say where a host is reached from outside: an address and a range of ports.",
        details="New contracts get numbers of the range. Those that have some keep them, and follow to a new address.",
        body=direct_schemas.DeclareDirect, answer=answers.HostView,
        refusals=(HostNotReadyError, HostRetiredError, BusyError),
    ),
    Operation(
        name="withdraw_direct", method="DELETE", path="/v1/hosts/{host_id}/direct", tag=Tag.HOSTS, roles=HOST,
        summary="Publish nothing for new contracts any more. Those that have numbers keep them.",
        answer=answers.HostView, refusals=(HostNotReadyError, HostRetiredError, BusyError),
    ),
    Operation(
        name="declare_lost", method="POST", path="/v1/hosts/{host_id}/lost", tag=Tag.HOSTS, roles=HOST,
        summary="Give up a host that is silent, for good.",
        details="Its contracts end within a minute or two: nothing waits for its word any more, and their data counts"
        " as gone. The machine comes back only under a new id, and first ends all that it had.",
        body=schemas.RetireHost, answer=answers.HostView, repeatable=True,
        refusals=(HostNotReadyError, HostHeardError, BusyError),
    ),
    Operation(
        name="revoke_machine", method="POST", path="/v1/hosts/{host_id}/revoke", tag=Tag.HOSTS, roles=HOST,
        summary="Revoke a host's machine key, for good.",
        details="For a key that somebody else may have. Nothing that it signs is believed from the next request on, and"
        " the host ends as one that is lost, whether it is silent or not.",
        body=schemas.RetireHost, answer=answers.HostView, repeatable=True, refusals=(HostNotReadyError, BusyError),
    ),
)  # fmt: skip

ACCESS = (
    Operation(
        name="open_account", method="POST", path="/v1/accounts", tag=Tag.ACCESS,
        summary="Open an account.",
        body=schemas.OpenAccount, answer=answers.Account, status=HTTPStatus.CREATED, repeatable=True,
        refusals=(ConflictError, BusyError, NotFoundError),
    ),
    Operation(
        name="list_accounts", method="GET", path="/v1/accounts", tag=Tag.ACCESS,
        summary="Every account.",
        answer=answers.Account, paged=True,
    ),
    Operation(
        name="issue_key", method="POST", path="/v1/keys", tag=Tag.ACCESS, roles=EITHER,
        summary="Make an API key.",
        details="Of the caller's own account and role; an admin makes keys of any. A repeated request is refused with"
        " `already_done`, for a key is not kept and cannot be shown again.",
        body=schemas.IssueKey, answer=answers.IssuedKey, status=HTTPStatus.CREATED, repeatable=True,
        refusals=(NotFoundError, AlreadyDoneError, BusyError),
    ),
    Operation(
        name="list_keys", method="GET", path="/v1/keys", tag=Tag.ACCESS, roles=EITHER,
        summary="The API keys of an account, without the keys themselves.",
        answer=answers.ApiKey, paged=True, query=("account",), refusals=(NotFoundError,),
    ),
    Operation(
        name="revoke_key", method="DELETE", path="/v1/keys/{key_id}", tag=Tag.ACCESS, roles=EITHER,
        summary="Revoke an API key. From the next request on it lets nobody in.",
        answer=answers.ApiKey, refusals=(BusyError,),
    ),
)  # fmt: skip

MACHINES = (
    Operation(
        name="show_installer", method="GET", path="/v1/host/install.sh", tag=Tag.MACHINES, proof=Proof.NONE,
        summary="The shell script that makes a machine a host.",
        details="`POST /v1/hosts` answers the line that runs it. It holds the package to its SHA-256.",
        media="text/x-shellscript",
    ),
    Operation(
        name="show_package", method="GET", path="/v1/host/package", tag=Tag.MACHINES, proof=Proof.NONE,
        summary="The host program, as a Python wheel that pins every library it needs.",
        media="application/zip",
    ),
    Operation(
        name="register", method="POST", path="/v1/host/register", tag=Tag.MACHINES, proof=Proof.NONE,
        summary="Join, with the token that the owner was given.",
        details="The same machine may repeat it; for any other the token is used up.",
        body=machine_schemas.RegisterBody, answer=machine_answers.Registration,
        refusals=(UnauthenticatedError, HostRetiredError, BusyError),
    ),
    Operation(
        name="rotate_key", method="POST", path="/v1/host/key", tag=Tag.MACHINES, proof=Proof.MACHINE_TOKEN,
        summary="Replace the machine key.",
        details="Signed with the present key. From then on only the new one is believed, and new secrets are sealed to"
        " it. May be repeated, signed with either key: the old one is refused once the new one is in force.",
        body=machine_schemas.RotateKeyBody, answer=machine_answers.RotatedKey,
        refusals=(NotCurrentError, HostRetiredError, BusyError),
    ),
    Operation(
        name="open_tunnel", method="POST", path="/v1/host/tunnel", tag=Tag.MACHINES, proof=Proof.MACHINE_TOKEN,
        summary="Make known with which key the host logs in to proxies, and learn where they are.",
        details="From then on proxies let that key in, and no other of the host. May be repeated.",
        body=machine_schemas.TunnelBody, answer=machine_answers.Proxies,
        refusals=(NotCurrentError, ConflictError, HostRetiredError, BusyError),
    ),
    Operation(
        name="fetch", method="POST", path="/v1/host/fetch", tag=Tag.MACHINES, proof=Proof.MACHINE_TOKEN,
        summary="The secrets of an instance that is about to start, or whose SSH keys were replaced.",
        details="Answered only while exactly this generation and token is wanted running.",
        body=machine_schemas.FetchBody, answer=machine_answers.SealedSecrets,
        refusals=(NotCurrentError, ContractExpiredError, ContractOverError, HostRetiredError),
    ),
    Operation(
        name="issue_certificate", method="POST", path="/v1/host/certificates", tag=Tag.MACHINES,
        proof=Proof.MACHINE_TOKEN,
        summary="A certificate for the JupyterLab of an instance.",
        details="For the address that the host asks from and for `j-<instance id>.<zone>`. Only while exactly this"
        " generation is wanted running, in mode jupyter.",
        body=machine_schemas.CertificateBody, answer=machine_answers.Certificate,
        refusals=(
            NotCurrentError, ContractExpiredError, ContractOverError, ConflictError, HostRetiredError, BusyError,
        ),
    ),
    Operation(
        name="show_call", method="POST", path="/v1/host/call", tag=Tag.MACHINES, proof=Proof.MACHINE_TOKEN,
        summary="What a client waits for.",
        body=machine_schemas.CallBody, answer=machine_answers.Call, refusals=(NotCurrentError, HostRetiredError),
    ),
    Operation(
        name="reply", method="POST", path="/v1/host/reply", tag=Tag.MACHINES, proof=Proof.MACHINE_TOKEN,
        summary="What came of it, sealed to whoever waits.",
        body=machine_schemas.ReplyBody, answer=machine_answers.Taken, refusals=(NotCurrentError, HostRetiredError),
    ),
    Operation(
        name="manifest", method="POST", path="/v1/host/manifest", tag=Tag.MACHINES, proof=Proof.MACHINE_TOKEN,
        summary="The whole wanted state of the host.",
        body=machine_schemas.ManifestBody, answer=machine_answers.HostManifest,
        refusals=(NotCurrentError, HostRetiredError),
    ),
)  # fmt: skip

PROXIES = (
    Operation(
        name="show_ports", method="GET", path="/v1/proxy/hosts/{fingerprint}", tag=Tag.PROXIES, roles=("proxy",),
        summary="What the host that logs in with this key may listen on.",
        details="Only what is wanted running now has a line.",
        answer=answers.HostPorts,
    ),
)  # fmt: skip

SERVICE = (
    Operation(
        name="health", method="GET", path="/v1/health", tag=Tag.SERVICE, proof=Proof.NONE,
        summary="Whether the service answers.",
        answer=answers.Health,
    ),
    Operation(
        name="show_document", method="GET", path="/v1/openapi.json", tag=Tag.SERVICE, proof=Proof.NONE,
        summary="This description, as OpenAPI 3.1.",
    ),
    Operation(
        name="show_page", method="GET", path="/docs", tag=Tag.SERVICE, proof=Proof.NONE,
        summary="This description, as a page to read.",
        media="text/html",
    ),
    Operation(
        name="show_authority", method="GET", path="/v1/ca.crt", tag=Tag.SERVICE, proof=Proof.NONE,
        summary="The certificate of the authority that vouches for instances, as PEM.",
        details="It can vouch for nothing but servers at IP addresses and in the service's own zone.",
        media="application/x-x509-ca-cert", refusals=(BusyError,),
    ),
    Operation(
        name="show_authority_page", method="GET", path="/ca", tag=Tag.SERVICE, proof=Proof.NONE,
        summary="How to trust that certificate, once for each system and browser.",
        media="text/html", refusals=(BusyError,),
    ),
)  # fmt: skip

OPERATIONS = (*OFFERS, *CONTRACTS, *SSH_KEYS, *HOSTS, *ACCESS, *MACHINES, *PROXIES, *SERVICE)

PARAMETERS = {
    "contract_id": (answers.Id, "The contract."),
    "host_id": (answers.Id, "The host."),
    "offer_id": (answers.Id, "The offer."),
    "key_id": (answers.KeyId, "The key."),
    "ssh_key_id": (answers.KeyId, "The SSH key."),
    "fingerprint": (answers.KeyId, "SHA-256 of the tunnel key, hexadecimal."),
    "instance_id": (schemas.Identifier, "The instance; left out, the contract's first."),
    "tail": (LogLines, "At most so many lines, the last ones."),
    "since": (schemas.EpochSeconds, "Only lines written since."),
    "cursor": (LogCursor, "Where the answer before ended: its `next`."),
    "account": (str, "Whose keys; left out, the caller's own. Another account's only for an admin."),
}
"""The type and the meaning of what stands in paths and queries."""


def methods_at(path: str) -> tuple[str, ...]:
    """The methods that a path takes; none where there is no such route."""
    return tuple(sorted(each.method for each in OPERATIONS if re.fullmatch(_pattern(each.path), path)))


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+\}", "[^/]+", path)
