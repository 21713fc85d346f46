"""Compares a decided outcome with the stored one."""

from typing import Any

from pointledger.domain.commands.outcomes import Decision, Reason
from pointledger.observability.replay.records import parsed
from pointledger.observability.replay.report import ReplayCheck, ReplayReport
from pointledger.storage.ledger.book import outcome_text
from pointledger.storage.replay.reads import RecordedCommand, StoredOutcome

# An event that is taken on trust is refused for one of these, by the recorded matches.
_BY_RULES = {Reason.NO_MATCHING_RULE.value, Reason.LIMIT_REACHED.value, Reason.FIGURE_TOO_LARGE.value}


def compare_outcome(
    report: ReplayReport,
    tenant_id: str,
    recorded: RecordedCommand,
    kept: StoredOutcome,
    decision: Decision | Exception,
    names: dict[str, str],
    *,
    is_on_trust: bool,
) -> None:
    """Report where the two differ. `names` is as in `records.accepted_command`.

    `is_on_trust`: the event's recorded rule matches are used.

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
    _ignore_unreliable(names, stored_values, decided_values, is_on_trust=is_on_trust)
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


def _ignore_unreliable(
    names: dict[str, str], kept: dict[str, Any], decided: dict[str, Any], *, is_on_trust: bool
) -> None:
    """Remove what may differ: what an erasure has changed, and what rules did that are not evaluated
    again."""
    if is_on_trust:
        for data in (kept, decided):
            data.pop("grants", None)
            data.pop("more_skipped", None)
        if kept["reason"] in _BY_RULES and decided["reason"] in _BY_RULES:
            decided["reason"] = kept["reason"]
    for name, pseudonym in names.items():  # only users whose erasure is not finished, so few
        account = kept.get("account")
        if isinstance(account, dict) and account.get("user_id") == name:
            account["user_id"] = pseudonym
