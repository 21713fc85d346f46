"""Renders templates: numbers, moments in the tenant's zone, and ids that can be copied.

Everything is escaped. A missing variable is an error, not an empty place.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.responses import HTMLResponse

from pointledger.api.console import static_files
from pointledger.api.console.addresses import address, own
from pointledger.domain.program.tenant import Tenant

MINUS = "\N{MINUS SIGN}"  # as wide as a digit, unlike a hyphen
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_SHORT_ID = 10  # characters of a ULID: its millisecond, in which most ids of a page differ


class Renderer:
    """Renders the templates of the console."""

    def __init__(self) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("pointledger.api.console"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "number": number,
            "signed": signed,
            "amount": amount,
            "span": span,
            "rate": rate,
            "moment": _moment,
            "day": _day,
            "copyable": copyable,
            "sentence": _sentence,
            "limit": limit,
        }
        self._environment.globals |= {"address": address, "own": own, "static": static_files.address_of}

    def page(self, template: str, status: int = 200, **shown: Any) -> HTMLResponse:
        """Render a template of `templates/` with these variables."""
        return HTMLResponse(self.text(template, **shown), status)

    def text(self, template: str, **shown: Any) -> str:
        """Render a template as text."""
        shown.setdefault("visit", None)
        return self._environment.get_template(template).render(shown)


def number(value: int) -> str:
    """Group the digits: 1234567 is 1,234,567."""
    return f"{value:,}".replace("-", MINUS)


def amount(value: str) -> str:
    """Group the digits of an amount of money: 1234.50 is 1,234.50."""
    return f"{Decimal(value):,}".replace("-", MINUS)


def signed(value: int) -> str:
    """Group the digits, and show the sign, also of a positive number."""
    return f"{value:+,}".replace("-", MINUS) if value else "0"


_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_AT_LEAST = 2  # of a unit: 90 s say more than 1 min


def span(seconds: float | None) -> str:
    """Show a length of time in its largest unit that is at least 2: 0.4 s, 12 s, 3 min, 5 h, 4 d."""
    if seconds is None:
        return "\N{EN DASH}"
    for length, unit in _UNITS:
        if seconds >= _AT_LEAST * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.1f} s" if 0.05 <= seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004  two digits


def rate(value: float) -> str:
    """Show a measured figure in as many digits as matter: 0, 0.02, 3.4, 1,234."""
    if value >= 100 or value == int(value):  # noqa: PLR2004  three digits
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


_TENANTS_LIMITS = {
    "tenant/max_earn_per_day": "what the tenant lets a member earn in a day",
    "tenant/max_balance": "what the tenant lets an account hold",
}


def limit(label: str | None) -> str:
    """Return the limit that held a grant, in words: `user/day/points` is "points per user and day"."""
    if label is None:
        return "no limit"
    scope, _, rest = label.partition("/")
    period, _, unit = rest.partition("/")
    return _TENANTS_LIMITS.get(label, f"{unit} per {scope} and {period}")


def copyable(text: str, short: bool = False) -> Markup:
    """Show an id. With a script, a click copies the whole of it. `short` shows its beginning."""
    shown = f"{text[:_SHORT_ID]}\N{HORIZONTAL ELLIPSIS}" if short and len(text) > _SHORT_ID else text
    return Markup('<span class="id" data-copy="{0}" title="{0}">{1}</span>').format(text, shown)


@jinja2.pass_context
def _moment(context: jinja2.runtime.Context, value: str | datetime | None, seconds: bool = True) -> Markup:
    """Show a moment in the tenant's zone, and in UTC when the pointer is over it."""
    if value is None:
        return Markup("\N{EN DASH}")
    at = _utc(value)
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return _time(at, f"{_local(context, at):{form}}")


@jinja2.pass_context
def _day(context: jinja2.runtime.Context, value: str | datetime | None) -> Markup:
    """Show the day of a moment in the tenant's zone."""
    if value is None:
        return Markup("\N{EN DASH}")
    at = _utc(value)
    return _time(at, f"{_local(context, at):%Y-%m-%d}")


@jinja2.pass_context
def _sentence(context: jinja2.runtime.Context, text: str) -> Markup:
    """Show a sentence of an explanation, with its moments in the tenant's zone."""
    parts = _MOMENT.split(text)
    moments = [_moment(context, moment) for moment in _MOMENT.findall(text)]
    return Markup("").join(
        Markup("").join((part, moment)) for part, moment in zip(parts, [*moments, Markup("")], strict=True)
    )


def _time(at: datetime, shown: str) -> Markup:
    utc = f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", utc, shown)


def _utc(value: str | datetime) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(UTC)


def _local(context: jinja2.runtime.Context, at: datetime) -> datetime:
    # A macro has no visit if its template was imported without `with context`: an error, not UTC.
    tenant: Tenant | None = getattr(context["visit"], "tenant", None)
    return tenant.local(at) if tenant else at
