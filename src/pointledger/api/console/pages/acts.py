"""Acts: who did what? The audit log by person, kind, member and time, and its export."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from itertools import chain, islice
from typing import Any, Literal, NamedTuple, cast

import orjson
from starlette.responses import Response, StreamingResponse

from pointledger.api.console import problems
from pointledger.api.console.controls import Control, ask, reason_of
from pointledger.api.console.documents import Difference, essential_changes
from pointledger.api.console.download import attachment, cell
from pointledger.api.console.visit import PageRoute, Visit
from pointledger.client.queries.acts import ACT_KINDS, MOST_EXPORTED
from pointledger.domain.values.fields import MAX_ID
from pointledger.storage.queries.audit_log import AuditLogFilter

_COLUMNS = (
    "recorded_at", "actor", "kind", "state", "refusal", "user_id", "reason", "before", "after", "command_id",
    "id",
)  # fmt: skip
_FILTERS = ("actor", "kind", "state", "user_id", "from", "to")
_STATES = ("applied", "refused")
# Of an account's state: what changes with every act, or never.
_NOT_SHOWN = frozenset({"account.version", "account.id", "wallet.version", "wallet.id", "account_id"})


class ListedAct(NamedTuple):
    """An act, what it is about, and the fields that it changed. `is_new`: there was nothing before."""

    act: Mapping[str, Any]
    about: str
    is_new: bool
    changed: list[Difference]


def show(visit: Visit) -> Response:
    """Show a page of acts, the latest first."""
    which, before = _which(visit), visit.query("before")
    found = visit.queries.acts(visit.tenant.tenant_id, which, before=before or None)
    filters = _filters(visit)
    return visit.page(
        "acts.html",
        acts=[_listed(act) for act in found.acts],
        filters=filters,
        is_filtered=any(filters.values()),
        kinds=ACT_KINDS,
        states=_STATES,
        most_id=MAX_ID,
        most_exported=MOST_EXPORTED,
        first=visit.url("acts", **filters) if before else "",
        older=visit.url("acts", **filters, before=found.next_before) if found.next_before else "",
        csv=visit.url("acts", "export", **filters, format="csv"),
        jsonl=visit.url("acts", "export", **filters, format="jsonl"),
        current="acts",
    )


def _listed(act: Mapping[str, Any]) -> ListedAct:
    found = [each for each in essential_changes(act["before"], act["after"]) if each.path not in _NOT_SHOWN]
    changed = [each._replace(path=each.path.removeprefix("account.")) for each in found]
    name = (act["after"] or {}).get("name")  # of a rule
    is_new = act["before"] is None and act["after"] is not None and act["kind"] != "export"
    return ListedAct(act, name if isinstance(name, str) else "", is_new, changed)


def confirmation(visit: Visit) -> Response:
    """Say what would be exported, and ask for the reason."""
    _which(visit)  # raises if a filter is wrong
    return ask(visit, _control(visit))


def export(visit: Visit) -> Response:
    """Download the selected acts, as CSV or as lines of JSON."""
    which, form = _which(visit), _format(visit)
    reason = reason_of(visit, lambda: _control(visit))
    if isinstance(reason, Response):
        return reason
    acts = visit.queries.exported_acts(visit.tenant.tenant_id, which)
    first = list(islice(acts, 1))  # so what is wrong shows before the file begins, which is not in itself
    about = {name: value for name, value in _filters(visit).items() if value and name != "user_id"}
    visit.console.export_log.record(
        visit.tenant.tenant_id, visit.actor(reason), "acts", {"format": form, **about}, user_id=which.user
    )
    lines, kind = _FORMATS[form]
    return StreamingResponse(lines(chain(first, acts)), headers=attachment(f"acts.{form}"), media_type=kind)


def _control(visit: Visit) -> Control:
    filters, form = _filters(visit), _format(visit)
    labels = {"actor": "Person", "kind": "Kind", "state": "Outcome", "user_id": "Member"}
    return Control(
        title="Export acts",
        about="Nothing has been exported yet.",
        button="Download CSV" if form == "csv" else "Download JSON lines",
        target=visit.url("acts", "export", **filters, format=form),
        back=visit.url("acts", **filters),
        current="acts",
        above=(("Acts", visit.url("acts", **filters)),),
        facts=tuple((labels.get(name, name.title()), value) for name, value in filters.items() if value),
        notes=(
            f"The file has the latest {MOST_EXPORTED:,} acts of the filter, or all if they are fewer.",
            "The audit log keeps that you export them.",
        ),
    )


def _filters(visit: Visit) -> dict[str, str]:
    return {name: visit.query(name) for name in _FILTERS}


def _format(visit: Visit) -> str:
    form = visit.query("format", "csv")
    if form not in _FORMATS:
        raise problems.problem(400, f"format: one of {', '.join(_FORMATS)}.")
    return form


def _csv(acts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for act in acts:
        writer.writerow([cell(_plain(act[name])) for name in _COLUMNS])
        yield text.getvalue()
        text.seek(0)
        text.truncate()
    yield text.getvalue()


def _plain(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict) else value


def _jsonl(acts: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for act in acts:
        yield orjson.dumps({name: act[name] for name in _COLUMNS}, option=orjson.OPT_APPEND_NEWLINE)


_Lines = Callable[[Iterable[Mapping[str, Any]]], Iterator[Any]]
_FORMATS: dict[str, tuple[_Lines, str]] = {
    "csv": (_csv, "text/csv; charset=utf-8"),
    "jsonl": (_jsonl, "application/x-ndjson"),
}


def _which(visit: Visit) -> AuditLogFilter:
    """Return what the address selects. Days are the tenant's, both included."""
    state, kind = visit.query("state"), visit.query("kind")
    if state and state not in _STATES:
        raise problems.problem(400, f"state: one of {', '.join(_STATES)}.")
    if kind and kind not in ACT_KINDS:
        raise problems.problem(400, f"kind: one of {', '.join(ACT_KINDS)}.")
    first, last = visit.day("from"), visit.day("to")
    if first and last and last < first:
        raise problems.problem(400, "to: the last day lies on or after the first.")
    starts = visit.tenant.day_starts_at
    return AuditLogFilter(
        _id(visit, "user_id"),
        _id(visit, "actor"),
        kind or None,
        cast("Literal['applied', 'refused'] | None", state or None),
        starts(first) if first else None,
        starts(last + timedelta(days=1)) if last else None,
    )


def _id(visit: Visit, name: str) -> str | None:
    text = visit.query(name)
    if len(text) > MAX_ID or "\x00" in text:
        raise problems.problem(400, f"{name}: at most {MAX_ID} characters, without NUL.")
    return text or None


ROUTES = (
    PageRoute("acts", "acts", show),
    PageRoute("acts/export", "acts.export", confirmation),
    PageRoute("acts/export", "acts.export", export, method="POST", waits=True),
)
