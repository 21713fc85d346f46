"""Compares a decided outcome with the stored one."""

from typing import Any

from pointledger.domain.commands.outcomes import Decision, Reason
from pointledger.observability.replay.records import is_on_trust, parsed
from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.storage.ledger.book import outcome_text
from pointledger.storage.replay.reads import RecordedCommand, StoredOutcome

# If an event whose facts were erased is refused, the recorded matches lead to one of these.
_BY_RULES = {Reason.NO_MATCHING_RULE.value, Reason.LIMIT_REACHED.value, Reason.FIGURE_TOO_LARGE.value}


def compare_outcome(
    report: ReplayReport,
    tenant_id: str,
    recorded: RecordedCommand,
    kept: StoredOutcome,
    decision: Decision | Exception,
    names: dict[str, str],
) -> None:
    """Report where the two differ. `names` is as in `records.accepted_command`.

    Messages are not compared, because a later version may word them otherwise.
    """
    if isinstance(decision, Exception):
        error = f"{type(decision).__name__}: {decision}"
        report.add(ReplayCheck.READABLE, _about(tenant_id, recorded), kept.state, error)
        return
    decided = outcome_text(decision)
    if decided == kept[1:]:
        return
    stored_values, decided_values = _without_message(*kept[1:]), _without_message(*decided)
    _ignore_erased(recorded, names, stored_values, decided_values)
    if stored_values != decided_values:
        report.add(ReplayCheck.OUTCOME, _about(tenant_id, recorded), stored_values, decided_values)


def _about(tenant_id: str, recorded: RecordedCommand) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "user_id": recorded.user_id,
        "command_id": recorded.id,
        "kind": recorded.kind,
    }


def _without_message(
    state: str, reason: str | None, _message: str | None, data: str | None
) -> dict[str, Any]:
    return {"state": state, "reason": reason} | (parsed(data) or {})


def _ignore_erased(
    recorded: RecordedCommand, names: dict[str, str], kept: dict[str, Any], decided: dict[str, Any]
) -> None:
    """Remove or align the values that an erasure has changed."""
    if is_on_trust(recorded):
        for data in (kept, decided):
            data.pop("grants", None)
            data.pop("more_skipped", None)
        if kept["reason"] in _BY_RULES and decided["reason"] in _BY_RULES:
            decided["reason"] = kept["reason"]
    for name, pseudonym in names.items():  # only users whose erasure is not finished, so few
        account = kept.get("account")
        if isinstance(account, dict) and account.get("user_id") == name:
            account["user_id"] = pseudonym
