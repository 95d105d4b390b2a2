"""The operations on SSH keys, as rows of the table in `operations.py`."""

from http import HTTPStatus

from rental.api import answers, ssh_key_schemas
from rental.api.operation import Operation, Tag
from rental.domain.errors import BusyError, ConflictError, ContractExpiredError, ContractOverError, NotFoundError

CLIENT = ("client",)

SSH_KEYS = (
    Operation(
        name="add_ssh_key", method="POST", path="/v1/ssh-keys", tag=Tag.SSH_KEYS, roles=CLIENT,
        summary="Add a public key to your account.",
        details="Contracts made from now on with no `ssh_keys` of their own let it in. At most 16, each of them once.",
        body=ssh_key_schemas.AddSshKey, answer=answers.SshKey, status=HTTPStatus.CREATED, repeatable=True,
        refusals=(ConflictError, NotFoundError, BusyError),
    ),
    Operation(
        name="list_ssh_keys", method="GET", path="/v1/ssh-keys", tag=Tag.SSH_KEYS, roles=CLIENT,
        summary="The public keys of your account, oldest first.",
        answer=answers.SshKey, paged=True,
    ),
    Operation(
        name="remove_ssh_key", method="DELETE", path="/v1/ssh-keys/{ssh_key_id}", tag=Tag.SSH_KEYS, roles=CLIENT,
        summary="Remove a public key from your account.",
        details="Contracts have copies, and let it in still: `contracts` names those. Replace their keys, or end them."
        " Should the answer be lost, the `ssh_keys` of your contracts tell the same.",
        answer=answers.RemovedSshKey, refusals=(BusyError,),
    ),
    Operation(
        name="replace_ssh_keys", method="PUT", path="/v1/contracts/{contract_id}/ssh-keys", tag=Tag.CONTRACTS,
        roles=CLIENT,
        summary="Let in these public keys, and no others any more.",
        details="Nothing is restarted. Until its host has done so, the `reason` of a running instance says that it is"
        " under way. Sessions that came in by a key that is taken away end within two seconds; what they started runs"
        " on until a reboot. The same keys again change nothing.",
        body=ssh_key_schemas.ReplaceSshKeys, answer=answers.Contract,
        refusals=(ConflictError, ContractExpiredError, ContractOverError, BusyError),
    ),
)  # fmt: skip
