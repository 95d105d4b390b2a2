"""Money: integer micro-dollars (1 USD = 1,000,000), never floats.

A month is 730 hours. Prices round up to the next micro-dollar once, at the end.
"""

HOURS_PER_MONTH = 730


def slice_price_microusd_h(gpu_price_microusd_h: int, gpus: int) -> int:
    """Price of a slice of `gpus` GPUs per hour."""
    return gpu_price_microusd_h * gpus


def disk_price_microusd_h(disk_gib: int, price_microusd_gib_month: int) -> int:
    """What the disk of a contract costs per hour, rounded up."""
    return -(-disk_gib * price_microusd_gib_month // HOURS_PER_MONTH)
