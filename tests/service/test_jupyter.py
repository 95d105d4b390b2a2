"""The token of a contract: sealed to its host when it is made, told to its client, kept nowhere in plain."""

import json
from dataclasses import dataclass, field, replace

import pytest

from rental.domain.contract import Launch, Sealed
from rental.domain.errors import ConflictError, ContractOverError, NotFoundError
from rental.domain.host import MachineKey
from rental.domain.ids import ContractId, InstanceId
from rental.ports import Principal
from rental.service.jupyter import Jupyter
from tests.fakes.builders import DIRECT, PROXY, make_request
from tests.fakes.ports import PlainSealer
from tests.fakes.ssh import make_line
from tests.fakes.world import SECRETS, TOKENS, World, client, owner, stranger

JUPYTER = Launch("alpine:3", mode="jupyter")


@dataclass
class Reading(PlainSealer):
    """Keeps what was sealed."""

    sealed: list[bytes] = field(default_factory=list)

    def seal(self, key: MachineKey, contract_id: ContractId, plaintext: bytes) -> Sealed:
        self.sealed.append(plaintext)
        return super().seal(key, contract_id, plaintext)


def test_the_host_is_told_the_token_that_the_client_is_told() -> None:
    world, sealer = World(proxy=PROXY).add_host(), Reading()
    contract = replace(world.renting, sealer=sealer).open_contract(make_request(launch=JUPYTER), SECRETS, None)
    told = world.jupyter.show_key(contract.id, client, None)
    assert json.loads(sealer.sealed[-1]) == {**SECRETS, "jupyter_token": told.token}
    assert (told.via, told.url) == ("proxy", f"https://j-{contract.id}.proxy.example.com/")
    assert told.token not in repr(told)


@pytest.mark.parametrize("mode", ["args", "ssh"])
def test_other_modes_have_no_token(mode: str) -> None:
    world, sealer = World(proxy=PROXY).add_host(), Reading()
    launch = Launch("alpine:3", mode=mode)
    keys = (make_line(1),) if mode == "ssh" else None
    request = make_request(launch=launch, ssh_keys=keys)
    contract = replace(world.renting, sealer=sealer).open_contract(request, SECRETS, None)
    assert json.loads(sealer.sealed[-1]) == SECRETS
    with pytest.raises(ConflictError, match=mode):
        world.jupyter.show_key(contract.id, client, None)


def test_no_token_is_kept_in_the_table() -> None:
    world = World(proxy=PROXY).add_host()
    contract = world.rent(launch=JUPYTER)
    assert TOKENS.jupyter_token(contract.id) not in json.dumps(world.table.items())


@pytest.mark.parametrize("who", [stranger, owner])
def test_only_the_client_is_told(who: Principal) -> None:
    world = World(proxy=PROXY).add_host()
    contract = world.rent(launch=JUPYTER)
    with pytest.raises(NotFoundError):
        world.jupyter.show_key(contract.id, who, None)
    with pytest.raises(NotFoundError):
        world.jupyter.show_key(ContractId(1), client, None)


def test_each_instance_has_its_own_address_under_one_token() -> None:
    world = World().add_host(direct=DIRECT)
    contract = world.rent(launch=JUPYTER, num_gpus=2, instances=2)
    first, second = (world.jupyter.show_key(contract.id, client, each.id) for each in contract.instances)
    assert (first.url, second.url) == ("https://203.0.113.5:20001/", "https://203.0.113.5:20003/")
    assert first.token == second.token
    assert world.jupyter.show_key(contract.id, client, None) == first
    with pytest.raises(NotFoundError):
        world.jupyter.show_key(contract.id, client, InstanceId(1))


def test_a_contract_that_is_over_has_no_way_in() -> None:
    world = World(proxy=PROXY).add_host()
    contract = world.rent_active(launch=JUPYTER)
    world.contracts.end_contract(contract.id, client)
    with pytest.raises(ContractOverError):
        world.jupyter.show_key(contract.id, client, None)


def test_a_deployment_that_has_lost_its_proxy_says_so() -> None:
    world = World(proxy=PROXY).add_host()
    contract = world.rent(launch=JUPYTER)
    with pytest.raises(ConflictError, match="no proxy"):
        Jupyter(world.store, TOKENS, None).show_key(contract.id, client, None)
