"""Tell a client the way into JupyterLab. The token is made anew each time; it is kept nowhere but on the host."""

from dataclasses import dataclass, field

from rental.domain.contract import Contract
from rental.domain.errors import ConflictError, ContractOverError, NotFoundError
from rental.domain.ids import ContractId, InstanceId
from rental.domain.ways_in import JupyterVia, Proxy
from rental.domain.ways_into import JupyterWay, jupyter_way
from rental.ports import Principal, Store, TokenMaker


@dataclass(frozen=True)
class Key:
    """Where JupyterLab is, and what lets in."""

    url: str
    via: JupyterVia
    token: str = field(repr=False)


@dataclass(frozen=True)
class Jupyter:
    store: Store
    tokens: TokenMaker
    proxy: Proxy | None

    def show_key(self, contract_id: ContractId, caller: Principal, instance_id: InstanceId | None) -> Key:
        """Of one instance, the first if none is named. Raises NotFoundError, ConflictError, ContractOverError."""
        contract = self.store.read_contract(contract_id)
        if contract is None or contract.account != caller.account:
            raise NotFoundError("There is no such contract.")
        way = self._way(contract, instance_id)
        return Key(way.url, way.via, self.tokens.jupyter_token(contract.id))

    def _way(self, contract: Contract, instance_id: InstanceId | None) -> JupyterWay:
        if contract.launch.mode != "jupyter":
            raise ConflictError(f"The contract is of mode {contract.launch.mode}. Rent with mode jupyter.")
        if not contract.is_live:
            raise ContractOverError(f"The contract is {contract.status}. Rent again to get in.")
        instance = contract.instances[0] if instance_id is None else contract.instance(instance_id)
        way = jupyter_way(contract, instance, self.proxy)
        if way is None:
            raise ConflictError("Nothing leads to it any more: the deployment has no proxy now.")
        return way
