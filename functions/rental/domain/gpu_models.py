"""One model of GPU a host: a listing has one price for each GPU, and any of them may be the one that is rented."""

from collections.abc import Sequence

from rental.domain.host import Gpu
from rental.domain.shares import GIB


def why_mixed(gpus: Sequence[Gpu]) -> str | None:
    """Names what there is where it is not all the same, and says what to do."""
    models: list[list[Gpu]] = []
    for gpu in gpus:
        same = next((each for each in models if _is_alike(each[0], gpu)), None)
        if same is None:
            models.append([gpu])
        else:
            same.append(gpu)
    if len(models) <= 1:
        return None
    return (
        f"Its GPUs are of several models ({', '.join(map(_say, models))}), and a host rents out GPUs of one model: "
        "leave those of one model in the machine, and register it as a new host."
    )


def _is_alike(one: Gpu, other: Gpu) -> bool:
    """Error correction takes some memory of one that has it switched on; of the next larger there is far more."""
    return one.name == other.name and 10 * abs(one.memory_bytes - other.memory_bytes) <= one.memory_bytes


def _say(model: Sequence[Gpu]) -> str:
    return f"{len(model)} x {model[0].name} with {round(model[0].memory_bytes / GIB)} GiB"
