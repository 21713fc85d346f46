"""Commands and tenants that this version cannot read."""

from pointledger import Earn
from tests.ledger import Ledger


def earn(user: str, amount: int) -> Earn:
    return Earn(tenant_id="shop", user_id=user, amount=amount)


def test_a_command_of_a_newer_version_waits_without_a_failure(ledger: Ledger) -> None:
    ledger.tenant()
    task_id = ledger.client.enqueue(earn("anna", 1))
    with ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER ALL")
        connection.exec_driver_sql("UPDATE journal SET version = 99")
    (other, later) = ledger.client.enqueue_many([earn("ben", 1), earn("anna", 2)])

    ledger.drain()

    states = [outcome.state for outcome in ledger.client.outcomes([task_id, other, later])]
    assert states == ["pending", "applied", "pending"], "later commands of its user wait with it"
    assert ledger.rows("SELECT attempts, dead_at FROM failures") == [(0, None)]


def test_an_unreadable_journal_row_becomes_dead_and_blocks_no_other_command(one_lane_ledger: Ledger) -> None:
    bad = one_lane_ledger.client.enqueue(earn("anna", 5))
    with one_lane_ledger.owner.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER ALL")
        connection.exec_driver_sql("""UPDATE journal SET payload = '{"amount": 0}'""")
    later, other = one_lane_ledger.client.enqueue_many([earn("anna", 1), earn("ben", 2)])

    one_lane_ledger.drain()

    states = [outcome.state for outcome in one_lane_ledger.client.outcomes([bad, later, other])]
    assert states == ["dead", "applied", "applied"]


def test_commands_of_a_tenant_of_a_newer_version_wait_without_a_failure(one_lane_ledger: Ledger) -> None:
    one_lane_ledger.tenant("other")
    one_lane_ledger.client.enqueue(earn("anna", 1))
    with one_lane_ledger.database.begin() as connection:
        connection.exec_driver_sql(
            """INSERT INTO tenant_versions (tenant_id, version, config)
               VALUES ('shop', 99, '{"tenant_id": "shop", "invented_later": true}')"""
        )
    waiting, applied = one_lane_ledger.client.enqueue_many(
        [earn("ben", 2), Earn(tenant_id="other", user_id="carl", amount=3)]
    )

    one_lane_ledger.drain()

    assert [outcome.state for outcome in one_lane_ledger.client.outcomes([waiting, applied])] == [
        "pending",
        "applied",
    ]
    assert one_lane_ledger.rows("SELECT DISTINCT attempts, dead_at FROM failures") == [(0, None)]
