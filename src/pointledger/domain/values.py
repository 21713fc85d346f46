"""What points are worth in money: exact, in integers."""

_MINOR_UNITS = 100  # of a currency unit


def cash_value(balance: int, exchange_rate: int) -> tuple[str, bool]:
    """Points as currency units with two decimals, rounded down to whole minor units as an exchange would
    be, and whether that is exact. `exchange_rate`: points per currency unit."""
    minor_units, rest = divmod(balance * _MINOR_UNITS, exchange_rate)
    return f"{minor_units // _MINOR_UNITS}.{minor_units % _MINOR_UNITS:02}", rest == 0
