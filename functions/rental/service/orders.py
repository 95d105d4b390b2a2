"""Orders: the whole wanted state of one instance, in the words that hosts understand (schemas/command.v1.json)."""

from typing import Any

from rental.domain.contract import Contract, Instance
from rental.domain.lifecycle import ContractStatus, Desired


def order_of(contract: Contract, instance: Instance) -> dict[str, Any]:
    """What the host must make true of the instance. Nothing in it can hold a client's secret."""
    gpus = {gpu.index: gpu for gpu in contract.gpus}
    share = instance.share
    return {
        "contract_id": contract.id,
        "instance_id": instance.id,
        "generation": instance.generation,
        "desired": str(desired_now(instance)),
        "token": instance.token if desired_now(instance) is Desired.RUNNING else None,
        "end_at": contract.end_at,
        "delete_after": contract.delete_after,
        "start_by": contract.provision_by if contract.status is ContractStatus.PENDING else None,
        "keys_revision": contract.launch.keys_revision,
        "image": contract.launch.image,
        "mode": contract.launch.mode,
        "stop_grace_s": contract.launch.stop_grace_s,
        "init": contract.launch.init,
        "pull": contract.launch.pull,
        "proxy_ssh_port": instance.proxy_ssh_port,
        "proxy_jupyter_port": instance.proxy_jupyter_port,
        "ports": [
            {"container": each.container, "protocol": each.protocol, "host": each.host} for each in instance.ports
        ],
        "gpus": [{"index": index, "uuid": gpus[index].uuid} for index in instance.gpu_indexes],
        "limits": {
            "gpus": share.gpus,
            "cpu_weight_permille": share.cpu_weight_permille,
            "memory_baseline_bytes": share.memory_baseline_bytes,
            "memory_limit_bytes": share.memory_limit_bytes,
            "shm_bytes": share.shm_bytes,
            "pids": share.pids,
            "disk_bytes": share.disk_bytes,
            "io_weight_permille": share.io_weight_permille,
        },
    }


def desired_now(instance: Instance) -> Desired:
    """What may be asked of the host now: an instance that waits for its GPUs stays stopped meanwhile."""
    return Desired.STOPPED if instance.waits else instance.desired
