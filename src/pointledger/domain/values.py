"""What points are worth in money: exact, in integers."""

from pointledger.domain.money import show_money, worth


def cash_value(balance: int, exchange_rate: int, scale: int = 2) -> tuple[str, bool]:
    """Points as currency units with the currency's decimals, rounded down to whole minor units as an exchange
    is, and whether that is exact. `exchange_rate`: points per currency unit."""
    minor = worth(balance, exchange_rate, scale)
    return show_money(minor, scale), minor * exchange_rate == balance * 10**scale
