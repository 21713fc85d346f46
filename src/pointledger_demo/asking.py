"""What to ask the gateway of `./dev run` first: lines for a shell, also in the README. They work in this
order, and when they are pasted again. Anna is new: the baskets' points are of 2017, and expire at a touch."""

_LINES = (
    '/admin/points/apply-rule --json \'{"event_type": "basket.paid", "user_id": "anna", '
    '"event_id": "b-1", "metadata": {"amount_minor": 1999}}\'',
    "/points/anna",
    "/points/anna/spend -H 'X-Idempotency-Key: order-17' --json '{\"amount\": 5}'",
    '/points/anna/transfer --json \'{"to_user_id": "household-906", "amount": 5}\'',
    "'/points/anna/transactions?type=spend&page=1&page_size=3'",
    "/points/anna/earn -i -H 'Prefer: respond-async' --json '{\"amount\": 50}'",
    "/admin/points/anna/expire --json '{\"amount\": 10}'",
    '/admin/wallets/anna/adjust --json \'{"type": "deposit", "amount": "5.00", "reason": "a complaint"}\'',
    "/wallets/anna/transactions",
    "'/admin/audit?user_id=anna'",
)


def asking(url: str, token_file: str) -> list[str]:
    """The lines, for a gateway at this URL; the first one puts the token where the others take it from."""
    lines = [f'H="Authorization: Bearer $(cat {token_file})"']
    for line in _LINES:
        quote, path = ("'", line[1:]) if line.startswith("'") else ("", line)
        lines.append(f'curl -s -H "$H" {quote}{url}{path}')
    return lines
