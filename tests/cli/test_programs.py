"""The commands `tenant` and `rule`."""

import json
from pathlib import Path
from typing import Any

import pytest

from pointledger import Earn
from tests.cli.conftest import Run, Working
from tests.ledger import Ledger

RULE = {
    "name": "one per dollar",
    "event_type": "basket.paid",
    "base": {"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
    "multiplier": "1.5",
    "daily_limit": 500,
    "daily_limit_unit": "points",
    "expiry_days": 365,
}


def put(run: Run, fields: Any, *more: str) -> Any:
    return run("rule", "put", "shop", "-", *more, stdin=json.dumps(fields))


def test_a_tenant_is_put_from_a_file_and_shown(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "grocer.json"
    file.write_text('{"tenant_id": "grocer", "timezone": "America/New_York", "transfer_enabled": true}')
    assert run("tenant", "put", str(file), "--json").json == {"tenant_id": "grocer", "version": 1}
    assert run("tenant", "put", str(file), "--json").json["version"] == 1

    shown = run("tenant", "show", "grocer", "--json")
    assert shown.status == 0
    assert shown.json["timezone"] == "America/New_York"
    assert shown.json["expiry_mode"] == "never"
    assert "America/New_York" in run("tenant", "show", "grocer").stdout


def test_the_output_of_show_can_be_put_again(run: Run, ledger: Ledger) -> None:
    shown = run("tenant", "show", "shop", "--json").stdout
    assert run("tenant", "put", "-", "--json", stdin=shown).json["version"] == 1
    changed = {**json.loads(shown), "default_expiry_days": 30, "expiry_mode": "rolling"}
    assert "2" in run("tenant", "put", "-", stdin=json.dumps(changed)).stdout


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("{", "not JSON"),
        ("[]", "one JSON object"),
        ("{}", "tenant_id"),
        ('{"tenant_id": "a", "tenant_id": "b"}', "given twice"),
        ('{"tenant_id": "a", "timezone": "Mars/Olympus"}', "time zone"),
        ('{"tenant_id": "a", "transfer_enabled": 1}', "transfer_enabled"),
        ('{"tenant_id": "a", "max_balance": 1.0}', "max_balance"),
        ('{"tenant_id": "a", "colour": "red"}', "colour"),
    ],
)
def test_an_invalid_tenant_is_reported_and_saves_nothing(
    run: Run, ledger: Ledger, content: str, rule: str
) -> None:
    before = list(ledger.counts("tenant_versions"))
    failed = run("tenant", "put", "-", "--json", stdin=content)
    assert failed.status == 2
    assert rule in failed.json["error"]
    assert rule in run("tenant", "put", "-", stdin=content).stderr
    assert list(ledger.counts("tenant_versions")) == before


def test_a_missing_file_or_tenant_is_reported(run: Run, tmp_path: Path) -> None:
    missing = run("tenant", "put", str(tmp_path / "none.json"), "--json")
    assert missing.status == 2
    assert "cannot be read" in missing.json["error"]
    for command in (("tenant", "show"), ("rule", "list"), ("accounts",)):
        unknown = run(*command, "nowhere", "--json")
        assert unknown.status == 1
        assert "There is no such tenant" in unknown.json["error"]
    assert run("rule", "put", "nowhere", "-", stdin=json.dumps(RULE)).status == 1


def test_a_rule_is_put_and_listed(run: Run, ledger: Ledger) -> None:
    saved = put(run, RULE, "--json")
    assert saved.status == 0
    assert saved.json["version"] == 1
    assert saved.json["award"]["multiplier"] == "1.5"
    assert saved.json["limits"] == [{"scope": "user", "period": "day", "unit": "points", "max": 500}]

    listed = run("rule", "list", "shop", "--json")
    assert listed.json_lines == [saved.json]
    shown = run("rule", "list", "shop").stdout
    assert "1 per 100 amount_minor x 1.5" in shown
    assert "500 points a day" in shown


def test_putting_a_rule_again_adds_a_version_only_if_it_differs(run: Run, ledger: Ledger) -> None:
    put(run, RULE)
    assert put(run, RULE, "--json").json["version"] == 1
    changed = put(run, {**RULE, "multiplier": "2"}, "--json").json
    assert changed["version"] == 2
    assert changed["in_force_from"].endswith("Z")


def test_a_multiplier_given_as_a_number_stays_exact(run: Run, ledger: Ledger) -> None:
    text = '{"name": "a", "event_type": "e", "points": 100, "multiplier": 1.15}'
    saved = run("rule", "put", "shop", "-", "--json", stdin=text)
    assert saved.json["award"]["multiplier"] == "1.15"


def test_a_list_of_rules_is_saved_completely_or_not(run: Run, ledger: Ledger) -> None:
    other = {"name": "welcome", "event_type": "user.joined", "points": 50, "priority": 9}
    failed = put(run, [RULE, {**other, "points": -1}], "--json")
    assert failed.status == 2
    assert "rule 2: " in failed.json["error"]
    assert list(ledger.counts("rule_versions")) == [0]

    saved = put(run, [RULE, other], "--json")
    assert [line["name"] for line in saved.json_lines] == ["one per dollar", "welcome"]
    listed = run("rule", "list", "shop", "--json").json_lines
    assert [line["name"] for line in listed] == ["welcome", "one per dollar"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ("{", "not JSON"),
        ("7", "a JSON object"),
        ("[7]", "rule 1: a rule must be a JSON object"),
        ("{}", "name"),
        ('{"name": "a", "event_type": "e", "points": 1.0}', "points"),
        ('{"name": "a", "event_type": "e", "points": true}', "points"),
        ('{"name": "a", "event_type": "e", "points": 18446744073709551621}', "points"),
        ('{"name": "a", "event_type": "e", "points": ' + "9" * 5000 + "}", "digits"),
        ('{"name": "a", "event_type": "e", "points": 1, "multiplier": NaN}', "NaN is not JSON"),
        ('{"name": "a", "event_type": "e", "points": 1, "multiplier": 1e308}', "multiplier"),
        (
            '{"name": "a", "event_type": "e", "points": 1, "multiplier": 1e99999999999999999999}',
            "a number whose exponent is too large",
        ),
        ('{"name": "a", "event_type": "e", "points": 1, "multiplier": 1e-99999}', "multiplier"),
        ('{"name": "a", "event_type": "e", "points": 1, "multiplier": -1}', "multiplier"),
        ('{"name": "a", "event_type": "e", "points": 1, "multiplier": "1.1234567"}', "multiplier"),
        (
            json.dumps([{"name": "a", "event_type": "e", "points": points} for points in (1, 2)]),
            "occurs more than once",
        ),
    ],
)
def test_an_invalid_rule_is_reported_and_saves_nothing(
    run: Run, ledger: Ledger, content: str, rule: str
) -> None:
    failed = run("rule", "put", "shop", "-", "--json", stdin=content)
    assert failed.status == 2
    assert rule in failed.json["error"]
    assert run("rule", "put", "shop", "-", stdin=content).status == 2
    assert list(ledger.counts("rule_versions")) == [0]


def test_a_rule_that_could_be_too_dear_is_reported_with_its_dearest_part(run: Run, ledger: Ledger) -> None:
    failed = put(run, RULE | {"when": "event.items.map(i, i.sku).exists(s, s == 'a')"}, "--json")

    assert failed.status == 2
    assert "most of it is filter or map" in failed.json["error"]
    assert "Test with exists(x, ...)" in failed.json["error"]
    assert ledger.counts("rule_versions") == [0]


def test_a_tenant_is_paused_and_resumed(run: Run, ledger: Ledger) -> None:
    paused = run("tenant", "pause", "shop", "--json")
    assert (paused.status, paused.json["paused"]) == (0, True)
    assert paused.json["since"].endswith("Z")
    assert run("tenant", "resume", "shop", "--json").json["was_paused"] is True
    assert "no" in run("tenant", "resume", "shop").stdout
    for command in ("pause", "resume"):
        assert run("tenant", command, "nowhere", "--json").status == 1


def test_a_changed_policy_is_applied_to_existing_lots(run: Run, ledger: Ledger, working: Working) -> None:
    shop: dict[str, Any] = {"tenant_id": "shop", "default_expiry_days": 365}
    run("tenant", "put", "-", stdin=json.dumps(shop))
    ledger.apply(Earn(tenant_id="shop", user_id="anna", amount=5))
    run("tenant", "put", "-", stdin=json.dumps(shop | {"default_expiry_days": 90}))
    counted = run("tenant", "apply-expiry", "shop", "--dry-run", "--json")
    assert (counted.status, counted.json["lots_shorter"], counted.json["accepted"]) == (0, 1, 0)
    with working():
        done = run("tenant", "apply-expiry", "shop", "--wait", "--json")
    counts = [done.json[name] for name in ("points_shorter", "accepted", "applied")]
    assert (done.status, counts) == (0, [5, 1, 1])
    assert run("tenant", "apply-expiry", "shop", "--limit", "1", "--json").json["accounts"] == 0
    too_early = run("tenant", "apply-expiry", "shop", "--not-before", "2020-01-01T00:00:00Z")
    assert (too_early.status, "next midnight" in too_early.stderr) == (2, True)


def test_switching_expiry_on_reports_the_end_of_the_notice_period(run: Run, ledger: Ledger) -> None:
    off = run("tenant", "put", "-", "--json", stdin='{"tenant_id": "shop", "expire_enabled": false}')
    assert "expires_not_before" not in off.json
    on = run("tenant", "put", "-", "--json", stdin='{"tenant_id": "shop"}')
    shown = run("tenant", "show", "shop", "--json")
    assert on.json["expires_not_before"] == shown.json["expires_not_before"] > "2026"
    again = run("tenant", "put", "-", "--json", stdin=shown.stdout)
    assert again.json == on.json
