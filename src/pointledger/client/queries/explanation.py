"""Explains an entry in sentences: its command, its rule, and the lots that it moved."""

from typing import Any

_MAX_LOT_SENTENCES = 20  # further lots are only counted; the data has them all

_VERB_PHRASES = {
    "earn": "earned {amount} points",
    "spend": "spent {amount} points",
    "expire": "expired {amount} points",
    "freeze": "froze {amount} points",
    "unfreeze": "released {amount} frozen points",
    "refund": "refunded {amount} points",
    "adjust": "adjusted the balance by {amount} points",
}


def describe(
    entry: dict[str, Any],
    command: dict[str, Any] | None,
    rule: dict[str, Any] | None,
    moved: list[dict[str, Any]],
    arrived: list[dict[str, Any]],
) -> list[str]:
    """Return sentences, from the command to the lots. `storage.queries.explain` makes the arguments."""
    sentences = [_effect(entry), *_command(entry, command)]
    if entry["rule_id"]:
        sentences += _rule(entry, command, rule)
    if entry["related_id"]:
        sentences.append(f"It belongs to entry {entry['related_id']}.")
    sentences += _lots(
        [f"It moved {lot['amount']} points of lot {_lot(lot)} ({lot['kind']})." for lot in moved]
    )
    sentences += _lots([f"It created lot {_lot(lot)} with {lot['amount']} points." for lot in arrived])
    return sentences + _lots([sentence for lot in (*moved, *arrived) for sentence in _changes(lot)])


def grant_of(entry: dict[str, Any], command: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the outcome says about the rule that granted this entry."""
    grants = ((command or {}).get("data") or {}).get("grants") or []
    for grant in grants:
        if (grant.get("rule_id"), grant.get("rule_version")) == (entry["rule_id"], entry["rule_version"]):
            return dict(grant)
    return None


def _effect(entry: dict[str, Any]) -> str:
    effect = _VERB_PHRASES[entry["type"]].format(amount=entry["amount"])
    return (
        f"Entry {entry['seq']} of user {entry['user_id']} ({entry['type']}/{entry['subtype']}) {effect}: "
        f"the available balance went from {entry['balance_before']} to {entry['balance_after']}."
        + _pending(entry["delta_pending"])
    )


def _pending(delta: int) -> str:
    if not delta:
        return ""
    state = "are pending and become available later" if delta > 0 else "are no longer pending"
    return f" Of these, {abs(delta)} points {state}."


def _command(entry: dict[str, Any], command: dict[str, Any] | None) -> list[str]:
    if command is None:
        return [f"Its command {entry['command_id']} is no longer in the journal."]
    origin = f"Command {command['kind']} {command['id']} of {command['actor']} created it"
    if command["user_id"] != entry["user_id"]:
        origin += f", on behalf of user {command['user_id']}"
    sentences = [f"{origin}: accepted {command['accepted_at']}, applied {command['applied_at']}."]
    if command["occurred_at"]:
        sentences.append(f"The command says that it happened {command['occurred_at']}.")
    sentences.append(f"The ledger decided as of {entry['occurred_at']}.")
    if command["state"] == "refused":
        sentences.append("The command was refused, but points that were due expired first.")
    elif entry["subtype"] == "scheduled" and command["kind"] != "expire-due":
        sentences.append("The points were due: each command first expires the due points of the account.")
    for name in ("event_type", "event_id", "reason", "source", "description"):
        if (command["payload"] or {}).get(name):
            sentences.append(f"Its {name.replace('_', ' ')}: {command['payload'][name]}.")
    extensions = (command["extensions"] or {}).items()
    return sentences + [f"Its extension {name}: {value}." for name, value in extensions]


def _rule(entry: dict[str, Any], command: dict[str, Any] | None, rule: dict[str, Any] | None) -> list[str]:
    name = f"“{rule['name']}”" if rule else entry["rule_id"]
    since = (rule or {}).get("in_force_from")
    in_force = f", in force from {since}" if since else ", in force from the start" if rule else ""
    sentences = [f"Rule {name}, version {entry['rule_version']}{in_force}, granted it."]
    grant = grant_of(entry, command)
    sentences += _failed(command)
    if grant is None:
        return sentences
    if limited_by := grant.get("limited_by"):
        sentences.append(
            f"The rule would grant {grant['wanted']} points, but the limit {limited_by} capped them "
            f"at {grant['granted']}."
        )
    else:
        sentences.append(f"The rule granted all of its {grant['wanted']} points.")
    if activates_at := grant.get("activates_at"):
        sentences.append(f"The points are pending until {activates_at}; their expiry counts from then.")
    return sentences


def _failed(command: dict[str, Any] | None) -> list[str]:
    """Name the rules that could not be evaluated, because an operator must correct them."""
    grants = ((command or {}).get("data") or {}).get("grants") or []
    return [
        f"Rule “{grant['rule']}”, version {grant['rule_version']}, could not be evaluated: "
        f"{_WHY[grant['skipped']].format(grant.get('detail', 'ERROR'))}."
        for grant in grants
        if grant.get("skipped") in _WHY
    ]


_WHY = {"error": "its expression failed ({})", "cost": "it would have cost too much ({})"}


def _lot(lot: dict[str, Any]) -> str:
    ends = f"expires {lot['expires_at']}" if lot["expires_at"] else "never expires"
    begins = f"pending until {lot['activates_at']}, " if lot["activates_at"] else ""
    return f"{lot['lot_id']} (earned {lot['earned_at']}, {begins}{ends})"


def _changes(lot: dict[str, Any]) -> list[str]:
    return [
        f"Command {change['command_id']} ({change['cause']}) moved the expiry of lot {lot['lot_id']} from "
        f"{change['was'] or 'never'} to {change['becomes'] or 'never'}."
        for change in lot["expiry_changes"]
    ]


def _lots(sentences: list[str]) -> list[str]:
    if len(sentences) <= _MAX_LOT_SENTENCES:
        return sentences
    return [*sentences[:_MAX_LOT_SENTENCES], f"And {len(sentences) - _MAX_LOT_SENTENCES} more lots."]
