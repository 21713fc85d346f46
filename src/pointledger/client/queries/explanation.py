"""The trace of an entry, told in words: who asked, what was granted and why, which lots it moved."""

from typing import Any

_LOTS_IN_WORDS = 20  # further ones are counted; the data has them

_DEEDS = {
    "earn": "brought {amount} points",
    "spend": "took {amount} points",
    "expire": "let {amount} points expire",
    "freeze": "froze {amount} points",
    "unfreeze": "released {amount} frozen points",
    "refund": "gave {amount} points back",
    "adjust": "corrected the account by {amount} points",
}


def tell(
    entry: dict[str, Any],
    command: dict[str, Any] | None,
    rule: dict[str, Any] | None,
    moved: list[dict[str, Any]],
    arrived: list[dict[str, Any]],
) -> list[str]:
    """Sentences, from the command to the lots. All are as `storage.traces` shows them."""
    told = [_deed(entry)]
    told += _command(entry, command)
    if entry["rule_id"]:
        told += _rule(entry, command, rule)
    if entry["related_id"]:
        told.append(f"It belongs to entry {entry['related_id']}.")
    told += _lots([f"It moved {lot['amount']} points of lot {_lot(lot)} ({lot['kind']})." for lot in moved])
    told += _lots([f"Lot {_lot(lot)} came with it: {lot['amount']} points." for lot in arrived])
    told += _lots([sentence for lot in (*moved, *arrived) for sentence in _changes(lot)])
    return told


def grant_of(entry: dict[str, Any], command: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the outcome's trace says of the rule that granted this entry."""
    grants = ((command or {}).get("data") or {}).get("grants") or []
    for grant in grants:
        if (grant.get("rule_id"), grant.get("rule_version")) == (entry["rule_id"], entry["rule_version"]):
            return dict(grant)
    return None


def _deed(entry: dict[str, Any]) -> str:
    deed = _DEEDS[entry["type"]].format(amount=entry["amount"])
    return (
        f"Entry {entry['seq']} of user {entry['user_id']} ({entry['type']}/{entry['subtype']}) {deed}: "
        f"the available balance went from {entry['balance_before']} to {entry['balance_after']}."
        + _pending(entry["delta_pending"])
    )


def _pending(delta: int) -> str:
    if not delta:
        return ""
    became = "are pending, and available later" if delta > 0 else "are pending no longer"
    return f" Of these, {abs(delta)} points {became}."


def _command(entry: dict[str, Any], command: dict[str, Any] | None) -> list[str]:
    if command is None:
        return [f"Its command {entry['command_id']} is not in the journal any more."]
    asked = f"The command {command['kind']} {command['id']} of {command['actor']} made it"
    if command["user_id"] != entry["user_id"]:
        asked += f", on behalf of user {command['user_id']}"
    told = [f"{asked}: accepted {command['accepted_at']}, applied {command['applied_at']}."]
    if command["occurred_at"]:
        told.append(f"It says that it happened {command['occurred_at']}.")
    told.append(f"What decided was the moment {entry['occurred_at']}.")
    if command["state"] == "refused":
        told.append("The command itself was refused; what was due expired all the same.")
    elif entry["subtype"] == "scheduled" and command["kind"] != "expire-due":
        told.append("The points were due: whoever touches an account first expires what is due.")
    for name in ("event_type", "event_id", "reason", "source", "description"):
        if (command["payload"] or {}).get(name):
            told.append(f"Its {name.replace('_', ' ')}: {command['payload'][name]}.")
    told += [f"Its extension {name}: {value}." for name, value in (command["extensions"] or {}).items()]
    return told


def _rule(entry: dict[str, Any], command: dict[str, Any] | None, rule: dict[str, Any] | None) -> list[str]:
    name = f"“{rule['name']}”" if rule else entry["rule_id"]
    since = (rule or {}).get("in_force_from")
    in_force = f", in force from {since}" if since else ", in force since ever" if rule else ""
    told = [f"Rule {name}, version {entry['rule_version']}{in_force}, granted it."]
    grant = grant_of(entry, command)
    told += _failed(command)
    if grant is None:
        return told
    if held_by := grant.get("held_by"):
        told.append(
            f"The rule wanted {grant['wanted']} points; {grant['granted']} were granted: "
            f"the limit {held_by} held back the rest."
        )
    else:
        told.append(f"The rule wanted {grant['wanted']} points, and all were granted.")
    if activates_at := grant.get("activates_at"):
        told.append(f"The rule lets its points wait until {activates_at}; their expiry counts from then.")
    return told


def _failed(command: dict[str, Any] | None) -> list[str]:
    """The rules that should have been asked as well, but could not: an operator's matter."""
    grants = ((command or {}).get("data") or {}).get("grants") or []
    return [
        f"Rule “{grant['rule']}”, version {grant['rule_version']}, could not be asked: its expression failed "
        f"({grant.get('because', 'ERROR')})."
        for grant in grants
        if grant.get("skipped") == "error"
    ]


def _lot(lot: dict[str, Any]) -> str:
    ends = f"expires {lot['expires_at']}" if lot["expires_at"] else "never expires"
    begins = f"pending until {lot['activates_at']}, " if lot["activates_at"] else ""
    return f"{lot['lot_id']} (earned {lot['earned_at']}, {begins}{ends})"


def _changes(lot: dict[str, Any]) -> list[str]:
    return [
        f"The expiry of lot {lot['lot_id']} was moved from {change['was'] or 'never'} to "
        f"{change['becomes'] or 'never'} by command {change['command_id']} ({change['cause']})."
        for change in lot["expiry_changes"]
    ]


def _lots(sentences: list[str]) -> list[str]:
    if len(sentences) <= _LOTS_IN_WORDS:
        return sentences
    return [*sentences[:_LOTS_IN_WORDS], f"And {len(sentences) - _LOTS_IN_WORDS} more lots."]
