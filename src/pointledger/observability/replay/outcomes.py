"""An outcome that was decided against the one that is kept."""

from typing import Any

from pointledger.domain.commands.outcomes import STILL_WAITS, Decision, Reason
from pointledger.observability.replay.reading import is_on_trust, told
from pointledger.observability.replay.report import Check, ReplayReport
from pointledger.storage.ledger.book import outcome_text
from pointledger.storage.replay.reads import Recorded

# An event whose facts are gone is refused for one of these, by what its rules made of it.
_BY_RULES = {Reason.NO_MATCHING_RULE.value, Reason.LIMIT_REACHED.value, Reason.FIGURE_TOO_LARGE.value}


def compare_outcome(
    report: ReplayReport, recorded: Recorded, decision: Decision | Exception, names: dict[str, str]
) -> None:
    """Reports where they differ. `names`: as in `reading.accepted`."""
    if isinstance(decision, Exception):
        error = f"{type(decision).__name__}: {decision}"
        report.add(Check.READABLE, _about(recorded), recorded.state, error)
        return
    decided = outcome_text(decision)
    if decided == (recorded.state, recorded.reason, recorded.message, recorded.data):
        return
    one = _parsed(recorded.state, recorded.reason, recorded.message, recorded.data)
    other = _parsed(*decided)
    _forgive(recorded, names, one, other)
    if one != other:
        report.add(Check.OUTCOME, _about(recorded), one, other)


def _about(recorded: Recorded) -> dict[str, Any]:
    return {
        "tenant_id": recorded.tenant_id,
        "user_id": recorded.user_id,
        "command_id": recorded.id,
        "kind": recorded.kind,
    }


def _parsed(state: str, reason: str | None, message: str | None, data: str | None) -> dict[str, Any]:
    return {"state": state, "reason": reason, "message": message} | (told(data) or {})


def _forgive(
    recorded: Recorded, names: dict[str, str], kept: dict[str, Any], decided: dict[str, Any]
) -> None:
    """Takes away what may differ: what an erasure has changed, and the word that something still waited."""
    if recorded.is_erased and kept["message"] is None:
        decided["message"] = None
    if is_on_trust(recorded):
        for data in (kept, decided):
            data.pop("grants", None)
            data.pop("more_skipped", None)
        if kept["reason"] in _BY_RULES and decided["reason"] in _BY_RULES:
            decided["reason"] = kept["reason"]
    if kept["message"] is not None and kept["message"] == f"{decided['message']}{STILL_WAITS}":
        decided["message"] = kept["message"]
    for name, pseudonym in names.items():  # of those who are being erased, few
        account = kept.get("account")
        if isinstance(account, dict) and account.get("user_id") == name:
            account["user_id"] = pseudonym
        if decided["message"] and pseudonym in decided["message"]:
            decided["message"] = decided["message"].replace(pseudonym, name)
