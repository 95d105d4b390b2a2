"""How contracts, offers and hosts look in answers. Only what stands here leaves the service."""

import shlex
from dataclasses import asdict
from typing import Any

from rental.api.present_ways_in import present_access, present_ports
from rental.domain.access import Account, ApiKey
from rental.domain.book import TimelineEntry
from rental.domain.contract import Contract, Instance
from rental.domain.host import Host, Inventory
from rental.domain.key_ring import NamedKey
from rental.domain.lifecycle import InstanceStatus
from rental.domain.offer import Offer
from rental.domain.running import wanted_of
from rental.domain.shares import Share
from rental.domain.ssh_key import read_ssh_key
from rental.domain.ways_in import Proxy
from rental.service.hosts import Admission, HostView
from rental.service.ssh_keys import RemovedKey


def present_contract(contract: Contract, now: int, proxy: Proxy | None = None) -> dict[str, Any]:
    return {
        "id": contract.id,
        "status": contract.status_at(now),
        "desired": wanted_of(contract),
        "reason": contract.reason_at(now),
        "host_id": contract.host_id,
        "offer_id": contract.offer_id,
        "label": contract.label,
        "image": contract.launch.image,
        "mode": contract.launch.mode,
        "env_keys": list(contract.launch.env_keys),
        "stop_grace_s": contract.launch.stop_grace_s,
        "init": contract.launch.init,
        "pull": contract.launch.pull,
        "ssh_keys": [
            {"fingerprint": each.fingerprint, "comment": each.comment}
            for each in map(read_ssh_key, contract.launch.ssh_keys)
        ],
        "gpus": [{"index": gpu.index, "uuid": gpu.uuid, "name": gpu.name} for gpu in contract.gpus],
        "share": present_share(contract.share, contract.disk_enforced, contract.unenforced),
        "price_microusd_h": contract.price_microusd_h,
        "disk_price_microusd_gib_month": contract.disk_price_microusd_gib_month,
        "created_at": contract.created_at,
        "end_at": contract.end_at,
        "grace_s": contract.grace_s,
        "delete_after": contract.delete_after,
        "instances": [present_instance(contract, instance, proxy) for instance in contract.instances],
    }


def present_instance(contract: Contract, instance: Instance, proxy: Proxy | None) -> dict[str, Any]:
    status = contract.status_of(instance)
    loads = status is InstanceStatus.LOADING
    return {
        "id": instance.id,
        "status": status,
        "desired": instance.desired,
        "reason": contract.reason_of(instance),
        "progress": asdict(instance.progress) if loads and instance.progress is not None else None,
        "generation": instance.generation,
        "gpu_indexes": list(instance.gpu_indexes),
        "exit_code": instance.exit_code,
        "onstart_exit_code": instance.onstart_exit_code,
        "image_digest": instance.image_digest,
        "started_at": instance.started_at,
        "ports": present_ports(contract, instance),
        "access": present_access(contract, instance, proxy),
    }


def present_share(share: Share, disk_enforced: bool, unenforced: tuple[str, ...]) -> dict[str, Any]:
    return {
        "gpus": share.gpus,
        "cpu_weight_permille": share.cpu_weight_permille,
        "memory_baseline_bytes": share.memory_baseline_bytes,
        "memory_limit_bytes": share.memory_limit_bytes,
        "shm_bytes": share.shm_bytes,
        "pids": share.pids,
        "disk_bytes": share.disk_bytes,
        "disk": "enforced" if disk_enforced else "watched",
        "io": "unenforced" if "io" in unenforced else "enforced",
        "network": "unenforced" if "network" in unenforced else "enforced",
    }


def present_offer(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "host_id": offer.host_id,
        "gpu_name": offer.gpu_name,
        "num_gpus": offer.num_gpus,
        "gpu_indexes": list(offer.gpu_indexes),
        "reason": offer.reason,
        "simulated": offer.simulated,
        "price_microusd_h": offer.price_microusd_h,
        "disk_price_microusd_gib_month": offer.disk_price_microusd_gib_month,
        "max_duration_s": offer.max_duration_s,
        "end_at": offer.end_at,
        "disk_free_gib": offer.disk_free_gib,
        "modes": {mode: list(ways) for mode, ways in offer.modes.items()},
        "share": present_share(offer.share, offer.disk_enforced, offer.unenforced),
    }


def present_host(host: Host, reason: str | None) -> dict[str, Any]:
    return {
        "id": host.id,
        "label": host.label,
        "status": host.status,
        "reason": reason,
        "created_at": host.created_at,
        "inventory": present_inventory(host.inventory) if host.inventory is not None else None,
    }


def present_host_view(view: HostView) -> dict[str, Any]:
    manifest = view.manifest
    listing = manifest.listing if manifest is not None else None
    held = {str(index): lease.contract_id for index, lease in manifest.leases.items()} if manifest is not None else {}
    return present_host(view.host, view.reason) | {
        "modes": dict(view.modes),
        "not_ready": list(view.not_ready),
        "last_seen_at": view.last_seen_at,
        "offline_since": manifest.offline_since if manifest is not None else None,
        "listing": asdict(listing) if listing is not None else None,
        "direct": asdict(manifest.direct) if manifest is not None and manifest.direct is not None else None,
        "gpus_held_by": held,
        "quarantined": list(manifest.quarantined) if manifest is not None else [],
        "gpu_faults": {str(index): reason for index, reason in manifest.gpu_faults.items()} if manifest else {},
        "ports_in_use": [asdict(port) for port in manifest.ports_in_use] if manifest is not None else [],
        "disk_free_bytes": manifest.disk_free_bytes if manifest is not None else None,
        "contracts": list(manifest.claims) if manifest is not None else [],
    }


def present_admission(admission: Admission, api_url: str, region: str) -> dict[str, Any]:
    return present_host(admission.host, admission.host.why) | {
        "registration_token": admission.registration_token,
        "registration_expires_at": admission.host.registration_expires_at,
        "activation_id": admission.activation.activation_id,
        "activation_code": admission.activation.activation_code,
        "install": install_line(admission, api_url, region),
    }


def install_line(admission: Admission, api_url: str, region: str) -> str:
    """What an owner pastes into a root shell; each part is quoted where a shell could read more into it."""
    options = {
        "--token": admission.registration_token,
        "--activation-id": admission.activation.activation_id,
        "--activation-code": admission.activation.activation_code,
        "--region": region,
    }
    words = [word for option in options.items() for word in option]
    return f"curl -fsSL {shlex.quote(f'{api_url}/v1/host/install.sh')} | {shlex.join(['sh', '-s', '--', *words])}"


def present_account(account: Account) -> dict[str, Any]:
    return {"name": account.name, "label": account.label, "created_at": account.created_at}


def present_api_key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "account": key.account,
        "role": key.role,
        "label": key.label,
        "created_at": key.created_at,
    }


def present_ssh_key(key: NamedKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "public_key": key.line,
        "fingerprint": key.ssh_key.fingerprint,
        "created_at": key.created_at,
    }


def present_removed_ssh_key(removed: RemovedKey) -> dict[str, Any]:
    return present_ssh_key(removed.key) | {"contracts": list(removed.contract_ids)}


def present_inventory(inventory: Inventory) -> dict[str, Any]:
    return asdict(inventory)


def present_timeline_entry(entry: TimelineEntry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if name != "contract_id"}
