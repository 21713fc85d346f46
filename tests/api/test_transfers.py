"""Transfers that the ledger refuses: cases 74 to 79 of the corpus."""

from collections.abc import Callable

from tests.api.environment import ApiEnvironment

User = Callable[[], str]


def test_74_75_76_transfers_to_oneself_to_an_unknown_user_and_of_too_many_points_are_refused(
    api: ApiEnvironment, user: User
) -> None:
    anna, ben = user(), user()
    api.earn(anna, 10)
    api.earn(ben, 1)
    path = f"/points/{anna}/transfer"
    cases = [
        ({"to_user_id": anna, "amount": 1}, 400, "SELF_TRANSFER"),
        ({"to_user_id": user(), "amount": 1}, 404, "RECIPIENT_NOT_FOUND"),
        ({"to_user_id": ben, "amount": 11}, 409, "INSUFFICIENT_BALANCE"),
    ]
    for body, status, reason in cases:
        answer = api.post(path, api.till, body)
        assert (answer.status_code, answer.json()["reason"]) == (status, reason)


def test_77_frozen_points_cannot_be_transferred(api: ApiEnvironment, user: User) -> None:
    anna, ben = user(), user()
    api.earn(anna, 10)
    api.earn(ben, 1)
    assert api.post(f"/admin/points/{anna}/freeze", api.admin, {"amount": 6}).status_code == 200
    answer = api.post(f"/points/{anna}/transfer", api.till, {"to_user_id": ben, "amount": 5})
    assert (answer.status_code, answer.json()["reason"]) == (409, "INSUFFICIENT_BALANCE")
    assert api.ledger.balance(ben) == 1


def test_79_a_transfer_beyond_the_recipients_maximum_balance_is_refused(
    api: ApiEnvironment, user: User
) -> None:
    anna, ben = user(), user()
    api.ledger.tenant("full", transfer_enabled=True, max_balance=100)
    admin = api.issuer.admin("full")
    for who, amount in ((anna, 50), (ben, 90)):
        assert api.post(f"/points/{who}/earn", admin, {"amount": amount}).status_code == 200
    answer = api.post(f"/points/{anna}/transfer", admin, {"to_user_id": ben, "amount": 11})
    assert (answer.status_code, answer.json()["reason"]) == (409, "MAX_BALANCE")
    assert (api.ledger.balance(anna, "full"), api.ledger.balance(ben, "full")) == (50, 90)
