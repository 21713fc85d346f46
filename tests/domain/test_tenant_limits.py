"""Tests the tenant's daily limits and maximum balance. L12 is an acceptance case."""

from tests.domain.books import Shop, data_of, grant_of, moment, reason_of, refusal_of, visited

# ----------------------------------------------------------------------------------------- daily limits


def test_max_earn_per_day_clamps_the_grants_of_all_rules_together() -> None:
    shop = Shop(max_earn_per_day=25)
    shop.rule(name="a", points=20, priority=1)
    shop.rule(name="b", points=20)
    grants = data_of(shop.event("anna"))["grants"]
    assert [(grant["granted"], grant.get("limited_by")) for grant in grants] == [
        (20, None),
        (5, "tenant/max_earn_per_day"),
    ]
    assert visited(shop, "2026-03-01 23:59", "2026-03-02 00:00") == [0, 25]


def test_max_earn_per_day_refuses_an_earn_command_as_a_whole() -> None:
    shop = Shop(max_earn_per_day=25)
    data_of(shop.earn("anna", 20))
    refused = refusal_of(shop.earn("anna", 6))
    assert (refused.reason.name, shop.balance("anna")) == ("LIMIT_REACHED", 20)
    assert "5 points are left" in refused.message
    data_of(shop.earn("anna", 5))


def test_rules_and_earn_commands_share_max_earn_per_day() -> None:
    shop = Shop(max_earn_per_day=25)
    shop.rule(points=10)
    shop.earn("anna", 20)
    assert grant_of(shop)["granted"] == 5
    assert reason_of(shop.earn("anna", 1)) == "LIMIT_REACHED"


def test_max_earn_per_day_applies_per_user() -> None:
    shop = Shop(max_earn_per_day=25)
    shop.earn("anna", 25)
    assert data_of(shop.earn("ben", 25))["points_earned"] == 25


def test_max_spend_per_day_refuses_beyond_it_until_the_next_day() -> None:
    shop = Shop(max_spend_per_day=30)
    shop.earn("anna", 100)
    data_of(shop.spend("anna", 20))
    assert reason_of(shop.spend("anna", 11)) == "LIMIT_REACHED"
    data_of(shop.spend("anna", 10))
    data_of(shop.spend("anna", 30, at=moment("2026-03-02")))
    assert shop.balance("anna") == 40


def test_a_refused_spend_does_not_use_up_the_day() -> None:
    shop = Shop(max_spend_per_day=30)
    shop.earn("anna", 10)
    assert reason_of(shop.spend("anna", 30)) == "INSUFFICIENT_BALANCE"
    shop.earn("anna", 20)
    data_of(shop.spend("anna", 30))


def test_transfers_and_expiries_count_toward_no_daily_limit() -> None:
    shop = Shop(max_spend_per_day=1, transfer_enabled=True)
    shop.earn("anna", 100)
    shop.earn("ben", 1)
    shop.configure(max_spend_per_day=1, max_earn_per_day=1, transfer_enabled=True)
    data_of(shop.transfer("anna", "ben", 50))
    data_of(shop.expire("anna", 50))


# -------------------------------------------------------------------------------------- maximum balance


def test_l12_a_grant_is_clamped_to_the_room_below_the_maximum() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 95)
    shop.rule(points=10)
    grant = grant_of(shop)
    assert (grant["wanted"], grant["granted"], grant["limited_by"]) == (10, 5, "tenant/max_balance")
    assert grant_of(shop)["granted"] == 0


def test_l12_a_full_account_clamps_the_grant_of_a_rule_that_refuses_over_its_own_limit() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 100)
    shop.rule(points=10, daily_limit=1000, on_exceed="refuse")
    grant = grant_of(shop)
    assert (grant["granted"], grant["limited_by"]) == (0, "tenant/max_balance")


def test_l12_an_earn_command_beyond_the_room_is_refused_as_a_whole() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 95)
    refused = refusal_of(shop.earn("anna", 6))
    assert (refused.reason.name, shop.balance("anna")) == ("MAX_BALANCE", 95)
    assert "room for 5 points" in refused.message
    assert reason_of(shop.earn("ben", 101)) == "MAX_BALANCE"


def test_l12_pending_points_take_room_too() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 60)
    shop.account("anna").pending_balance = 35
    assert reason_of(shop.earn("anna", 6)) == "MAX_BALANCE"
    data_of(shop.earn("anna", 5))


def test_l12_due_points_make_room() -> None:
    shop = Shop(max_balance=100)
    shop.earn("anna", 100, expires_at=moment("2026-03-02"))
    data_of(shop.earn("anna", 100, at=moment("2026-03-02")))


def test_l12_a_lowered_maximum_takes_no_points() -> None:
    shop = Shop()
    shop.earn("anna", 100)
    shop.configure(max_balance=50)
    shop.rule(points=1)
    assert grant_of(shop)["granted"] == 0
    assert reason_of(shop.earn("anna", 1)) == "MAX_BALANCE"
    assert shop.balance("anna") == 100


def test_no_balance_exceeds_the_ledgers_maximum() -> None:
    shop = Shop()
    data_of(shop.earn("anna", 10**15))
    assert reason_of(shop.earn("anna", 1)) == "FIGURE_TOO_LARGE"
    shop.rule(points=1)
    assert reason_of(shop.event("anna")) == "FIGURE_TOO_LARGE"


def test_a_limits_message_never_shows_a_negative_number() -> None:
    shop = Shop()
    shop.configure(max_earn_per_day=100, max_spend_per_day=100)
    shop.earn("anna", 100)
    shop.spend("anna", 50)
    shop.configure(max_earn_per_day=10, max_spend_per_day=10)
    for refused in (refusal_of(shop.earn("anna", 1)), refusal_of(shop.spend("anna", 1))):
        assert refused.message.startswith("0 points are left")
