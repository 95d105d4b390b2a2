"""Certificates of instances: who may have one now, and the authority's own, which is for everybody."""

from dataclasses import dataclass

from rental.domain.certificates import address_of, vouch
from rental.domain.ids import ContractId, HostId, InstanceId
from rental.ports import Authority, Clock, Store
from rental.service.machines import check_wanted_running, contract_on_host


@dataclass(frozen=True)
class Issued:
    """`certificate` is PEM, with the authority's after it; `not_after` in epoch seconds."""

    certificate: str
    not_after: int


@dataclass(frozen=True)
class Certificates:
    store: Store
    authority: Authority
    clock: Clock
    zone: str

    def issue(self, host_id: HostId, names: tuple[ContractId, InstanceId, int], csr: str, source: str) -> Issued:
        """A certificate for the JupyterLab of an instance: only while exactly this is wanted running there.

        `names` are of contract, instance and generation. `source` is the address that the host asks from. Raises
        NotCurrentError, ContractExpiredError, ContractOverError, ConflictError, InvalidRequestError, BusyError.
        """
        contract_id, instance_id, generation = names
        now = self.clock.now()
        contract = contract_on_host(self.store, host_id, contract_id, now)
        check_wanted_running(contract, instance_id, generation)
        declared = contract.address if contract.launch.jupyter_via == "direct" else None
        vouched = vouch(contract, instance_id, address_of(source, declared), self.zone, now)
        return Issued(self.authority.sign(csr, vouched), vouched.not_after)
