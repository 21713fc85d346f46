"""Stands for the payment provider."""


class CardDeclined(Exception):
    """The provider does not charge this card."""


def charge(card: str, amount_minor: int, key: str) -> None:
    """Charge so many cents. A provider charges once for the same key. Raises CardDeclined."""
    if card == "declined":
        raise CardDeclined(f"{amount_minor} cents for {key}")
