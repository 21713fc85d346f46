"""A caller's trace goes with the command to the worker's batch, and changes nothing else."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from pointledger import Earn
from pointledger.errors import IdempotencyKeyReused
from pointledger.logs import Log
from pointledger.settings import Settings
from pointledger.storage.queue import journal
from tests import logged
from tests.ledger import Ledger
from tests.spans import Spans, context_of, kept_spans, linked, parent_of, traceparent_of

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = GIVEN[:-2] + "00"
SHOP: dict[str, Any] = {"tenant_id": "shop", "user_id": "anna"}


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


@pytest.fixture
def spans() -> Iterator[Spans]:
    with kept_spans() as kept:
        yield kept


def kept_extensions(ledger: Ledger) -> list[Any]:
    return [row[0] for row in ledger.rows("SELECT extensions FROM journal ORDER BY seq")]


def test_a_command_carries_the_span_of_its_acceptance_below_the_callers_span(
    ledger: Ledger, spans: Spans
) -> None:
    with spans.tracer.start_as_current_span("checkout"):
        task_id = ledger.client.enqueue(Earn(**SHOP, amount=1))
    checkout, accepted = spans.one("checkout"), spans.one("accept earn")
    assert parent_of(accepted) == context_of(checkout).span_id
    assert accepted.attributes
    assert accepted.attributes["messaging.message.id"] == task_id
    assert kept_extensions(ledger) == [{"traceparent": traceparent_of(accepted)}]


def test_a_batch_is_linked_to_the_acceptance_of_its_commands_after_a_restart(
    ledger: Ledger, spans: Spans
) -> None:
    for user in ("anna", "ben"):
        with spans.tracer.start_as_current_span(f"checkout of {user}"):
            ledger.client.enqueue(Earn(tenant_id="shop", user_id=user, amount=1))
    with Ledger(ledger.settings) as later:
        assert later.drain() == 2
    batches = spans.named("apply commands")
    assert set().union(*map(linked, batches)) == {
        context_of(span).span_id for span in spans.named("accept earn")
    }
    assert [parent_of(batch) for batch in batches] == [None] * len(batches)


def test_a_given_traceparent_stays_and_the_acceptance_is_linked_to_it(ledger: Ledger, spans: Spans) -> None:
    with spans.tracer.start_as_current_span("checkout"):
        ledger.client.enqueue(Earn(**SHOP, amount=1, extensions={"traceparent": GIVEN, "shop": "x"}))
    assert kept_extensions(ledger) == [{"traceparent": GIVEN, "shop": "x"}]
    assert linked(spans.one("accept earn")) == {int("b7ad6b7169203331", 16)}


def test_without_a_callers_span_the_acceptance_is_below_the_given_trace(ledger: Ledger, spans: Spans) -> None:
    ledger.apply(Earn(**SHOP, amount=1, extensions={"traceparent": GIVEN}))
    assert parent_of(spans.one("accept earn")) == int("b7ad6b7169203331", 16)
    assert linked(spans.one("apply commands")) == {int("b7ad6b7169203331", 16)}


def test_several_commands_of_given_traces_are_accepted_in_one_linked_span(
    ledger: Ledger, spans: Spans
) -> None:
    other = GIVEN.replace("b7", "c8")
    traces: list[dict[str, Any] | None] = [{"traceparent": GIVEN}, {"traceparent": other}, None]
    ledger.client.enqueue_many([Earn(**SHOP, amount=1, extensions=trace) for trace in traces])
    accepted = spans.one("accept earn")
    assert (parent_of(accepted), len(linked(accepted))) == (None, 2)
    assert kept_extensions(ledger) == traces


@pytest.mark.parametrize("extensions", [None, {"traceparent": UNSAMPLED}, {"traceparent": "x"}])
def test_commands_without_a_recorded_trace_make_no_spans(
    ledger: Ledger, spans: Spans, extensions: dict[str, Any] | None
) -> None:
    ledger.apply(Earn(**SHOP, amount=1, extensions=extensions))
    assert kept_extensions(ledger) == [extensions]
    assert spans.exporter.get_finished_spans() == ()


def test_a_command_sent_again_in_another_trace_is_the_same_command(ledger: Ledger, spans: Spans) -> None:
    sent = []
    for attempt in ("first", "second"):
        with spans.tracer.start_as_current_span(attempt):
            sent.append(ledger.client.enqueue(Earn(**SHOP, amount=1, idempotency_key="k")))
    ledger.drain()
    assert ledger.balance("anna") == 1
    first, second = ledger.client.outcomes(sent)
    assert first.data == second.data
    assert len(kept_extensions(ledger)) == 1


def test_a_command_without_room_for_a_trace_is_accepted_without_it(ledger: Ledger, spans: Spans) -> None:
    full: dict[str, Any] = {f"a{number}": number for number in range(64)}
    with spans.tracer.start_as_current_span("checkout"):
        ledger.client.enqueue(Earn(**SHOP, amount=1, extensions=full))
    assert kept_extensions(ledger) == [full]


def test_a_callers_own_transaction_and_batches_are_traced(ledger: Ledger, spans: Spans) -> None:
    with spans.tracer.start_as_current_span("checkout"), ledger.database.begin() as connection:
        ledger.client.enqueue(Earn(**SHOP, amount=1), connection)
    with spans.tracer.start_as_current_span("import"):
        ledger.client.batch_earn("shop", [("ben", 1), ("cleo", 2)], idempotency_key="b")
    assert ["traceparent" in extensions for extensions in kept_extensions(ledger)] == [True] * 3
    assert len({extensions["traceparent"] for extensions in kept_extensions(ledger)}) == 2


def test_an_error_marks_the_span_with_its_class_and_without_its_text(ledger: Ledger, spans: Spans) -> None:
    ledger.client.enqueue(Earn(**SHOP, amount=1, idempotency_key="k"))
    with pytest.raises(IdempotencyKeyReused), spans.tracer.start_as_current_span("checkout"):
        ledger.client.enqueue(Earn(**SHOP, amount=2, idempotency_key="k"))
    accepted = spans.one("accept earn")
    assert (accepted.status.status_code, accepted.status.description) == (StatusCode.ERROR, None)
    assert accepted.attributes
    assert accepted.attributes["error.type"] == "IdempotencyKeyReused"
    assert accepted.events == ()


def test_a_batch_has_at_most_128_links(ledger: Ledger, spans: Spans) -> None:
    traces = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 201)]
    ledger.client.enqueue_many([Earn(**SHOP, amount=1, extensions={"traceparent": one}) for one in traces])
    with Ledger(ledger.settings) as worker:
        worker.drain_only(worker.waiting_lanes()[0])
    assert [len(linked(span)) for span in spans.named("apply commands")][:1] == [128]


def test_a_batch_goes_on_if_its_traces_cannot_be_read(
    ledger: Ledger, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(connection: Any, ids: Any) -> Any:
        return ledger.rows("SELECT 1 / 0")

    monkeypatch.setattr(journal, "carriers", unreadable)
    ledger.apply(Earn(**SHOP, amount=1, extensions={"traceparent": GIVEN}))
    assert ledger.balance("anna") == 1
    assert spans.named("apply commands") == []


def test_a_line_that_is_logged_within_a_span_has_its_ids(spans: Spans) -> None:
    with logged.records() as records:
        with spans.tracer.start_as_current_span("work"):
            Log("pointledger.tests").info("inside")
        Log("pointledger.tests").info("outside")
    inside, outside = records
    context = context_of(spans.one("work"))
    assert vars(inside)["trace_id"] == f"{context.trace_id:032x}"
    assert vars(inside)["span_id"] == f"{context.span_id:016x}"
    assert inside.getMessage() == "inside"
    assert "trace_id" not in vars(outside)


_WITHOUT = """
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from pointledger import Earn, PointsClient
client = PointsClient.connect()
client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
"""


def test_a_service_needs_no_opentelemetry(ledger: Ledger) -> None:
    urls = {
        "POINTLEDGER_DATABASE_URL": ledger.settings.database,
        "POINTLEDGER_REDIS_URL": ledger.settings.redis,
    }
    subprocess.run([sys.executable, "-c", _WITHOUT], env=urls, check=True, timeout=60)
    assert kept_extensions(ledger) == [None]
