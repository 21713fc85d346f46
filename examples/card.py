"""Stands for the payment provider."""


class CardDeclined(Exception):
    """The provider does not charge this card."""


def charge(card: str, amount_minor: int) -> None:
    """Charge so many cents. Raises CardDeclined."""
    if card == "declined":
        raise CardDeclined(f"{amount_minor} cents")
