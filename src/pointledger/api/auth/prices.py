"""The price of every route, in rate tokens.

A token stands for about a fifth of a millisecond of a core: what one command, or one query by key, costs.
The price is known before the request is served. So a request pays for what it brings or asks for: the rows of
a batch, the items of a page, the months of a statistic.

A request may cost more than a caller's bucket can ever hold. Then it costs a full bucket: it stays possible,
and the caller waits until the bucket is full again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pointledger.api.auth.permissions import PUBLIC
from pointledger.api.auth.permissions import TABLE as PERMISSIONS
from pointledger.api.threads import Pool
from pointledger.client.queries.ledger import MONTHS

PAGE_ITEMS = 20  # a default page costs as much as a query by key
SKIPPED_ROWS = 1_000  # an index walks over them in a fifth of a millisecond
_NUMBER = re.compile(r"[0-9]{1,10}")  # more digits than these are invalid


@dataclass(frozen=True, slots=True)
class Price:
    """What a request costs, and which threads serve it.

    Every price includes `tokens`. A page also costs a token for each 20 items beyond the first 20, and for
    each 1,000 rows that it skips if the route must read these. `by_type`: for a filter `type`, whose total is
    counted row by row. `per_row`: for each row of the body, instead of `tokens` if that is more.
    """

    tokens: int = 1
    pool: Pool = Pool.QUERIES
    is_page: bool = False
    skips: bool = False
    by_type: int = 0
    per_row: int = 0

    def of(self, query: Mapping[str, str]) -> int:
        """Return the price of a request with these parameters. Invalid ones add nothing."""
        tokens = self.tokens + (self.by_type if "type" in query else 0)
        if not self.is_page:
            return tokens
        size = _number(query, "page_size", PAGE_ITEMS)
        tokens += max(0, -(-size // PAGE_ITEMS) - 1)
        if self.skips:
            tokens += (_number(query, "page", 1) - 1) * size // SKIPPED_ROWS
        return tokens

    def in_words(self) -> str:
        """Return the price for the reference page."""
        parts = [f"{self.per_row} per row" if self.per_row else str(self.tokens)]
        if self.by_type:
            parts.append(f"{self.by_type} with `type`")
        if self.is_page:
            parts.append(f"1 per {PAGE_ITEMS} further items")
        if self.skips:
            parts.append(f"1 per {SKIPPED_ROWS:,} skipped")
        return " + ".join(parts)


_ONE = Price()

# Only prices above that of one command or one query by key. The milliseconds are of a tenant with 50,000
# entries and 5,000 accounts. A larger tenant pays less than it costs, so a query has a limit of time, too.
_DEARER: dict[tuple[str, str], Price] = {
    ("GET", "/points/{user_id}/transactions"): Price(is_page=True, by_type=4),  # counts an account's entries
    ("GET", "/points/{user_id}/transactions/{tx_id}/explanation"): Price(10),  # up to 2,000 lots
    ("GET", "/wallets/{user_id}/transactions"): Price(is_page=True, by_type=4),
    ("GET", "/points/{user_id}/stats"): Price(MONTHS),  # a token per month
    ("GET", "/points/{user_id}/expiring"): Price(2),  # reads an account and its lots
    ("GET", "/points/{user_id}/risk-score"): Price(5),  # reads its latest 1,000 entries
    ("GET", "/admin/points"): Price(50, Pool.REPORTS, is_page=True, skips=True),  # counts accounts: 20 ms
    # counts accounts, and with a type all entries: 20 to 40 ms
    ("GET", "/admin/points/transactions"): Price(50, Pool.REPORTS, is_page=True, skips=True, by_type=200),
    ("GET", "/admin/points/stats"): Price(500, Pool.REPORTS),  # all accounts, a month's entries: 30 to 70 ms
    ("GET", "/admin/points/days"): Price(250, Pool.REPORTS),  # up to 100,000 unsummed entries: 50 ms
    ("GET", "/admin/audit"): Price(50, Pool.REPORTS, is_page=True, skips=True),  # counts the records
    ("GET", "/admin/point/integrity/{account_id}"): Price(100, Pool.REPORTS),  # reads a whole account
    ("POST", "/admin/points/batch-earn"): Price(1, Pool.WRITES, per_row=1),
    ("PUT", "/admin/points/config"): Price(10, Pool.WRITES),  # writes a version and an audit record
    ("GET", "/admin/point-rules"): Price(5),  # reads every rule
    ("POST", "/admin/point-rules"): Price(50, Pool.WRITES),  # compiles its expressions
    ("PUT", "/admin/point-rules/{id}"): Price(50, Pool.WRITES),
    ("DELETE", "/admin/point-rules/{id}"): Price(10, Pool.WRITES),
    ("POST", "/admin/point-rules/test"): Price(250, Pool.REPORTS),  # up to 50 ms of evaluation
}

TABLE: dict[tuple[str, str], Price] = {
    route: _DEARER.get(route, _ONE) for route, permission in PERMISSIONS.items() if permission is not PUBLIC
}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    return int(text) if _NUMBER.fullmatch(text) else default
