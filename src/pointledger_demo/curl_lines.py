"""The curl lines that `./dev run` prints and the guide to the HTTP API shows.

They work in this order, and also a second time. They use a new user, because the baskets' points date from
2017 and expire with an account's next command.
"""

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


def curl_lines(url: str, token_file: str) -> list[str]:
    """Return the lines for an API at this URL. The first sets the variable that the others use."""
    lines = [f'H="Authorization: Bearer $(cat {token_file})"']
    for line in _LINES:
        quote, path = ("'", line[1:]) if line.startswith("'") else ("", line)
        lines.append(f'curl -s -H "$H" {quote}{url}{path}')
    return lines
