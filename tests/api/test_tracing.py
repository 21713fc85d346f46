"""One trace leads from a request over the acceptance and the worker's batch to the event."""

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.trace import SpanKind

from tests.api.environment import ApiEnvironment
from tests.events.listener import Listener, relay_all
from tests.spans import Spans, context_of, kept_spans, linked, parent_of, traceparent_of

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
User = Callable[[], str]


@pytest.fixture
def spans() -> Iterator[Spans]:
    with kept_spans() as kept:
        yield kept


def test_one_trace_has_the_request_the_acceptance_the_batch_and_the_event(
    api: ApiEnvironment, spans: Spans, user: User
) -> None:
    api.ledger.tenant("shop", events="all")
    anna = user()
    with Listener(api.ledger.settings) as listener:
        done = api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, traceparent=TRACEPARENT)
        assert done.status_code == 200
        with spans.tracer.start_as_current_span("the relay's own work"):
            relay_all(api.ledger.settings)
        [event] = listener.listen(1)

    request, accepted = spans.one("POST /points/{user_id}/earn"), spans.one("accept earn")
    batch, sent = spans.one("apply commands"), spans.one("send points.earned")
    assert parent_of(request) == int(CALLER, 16)
    assert parent_of(accepted) == context_of(request).span_id
    assert linked(batch) == {context_of(accepted).span_id}
    assert parent_of(sent) == context_of(accepted).span_id
    assert {f"{context_of(one).trace_id:032x}" for one in (request, accepted, sent)} == {TRACE}
    assert event["traceparent"] == traceparent_of(accepted)
    assert [one.kind for one in (request, accepted, batch, sent)] == [
        SpanKind.SERVER,
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
        SpanKind.PRODUCER,
    ]


def test_a_batch_over_http_is_in_the_requests_trace(api: ApiEnvironment, spans: Spans, user: User) -> None:
    anna = user()
    rows = {"items": [{"user_id": anna, "amount": 1}, {"user_id": anna, "amount": 2}]}
    done = api.post("/admin/points/batch-earn", api.admin, rows, key=anna, traceparent=TRACEPARENT)
    assert done.status_code == 202, done.text
    accepted = spans.one("accept earn")
    assert f"{context_of(accepted).trace_id:032x}" == TRACE


def test_probes_have_no_spans(api: ApiEnvironment, spans: Spans) -> None:
    assert api.get("/readyz").status_code == 200
    assert api.get("/points/unknown", api.till).status_code == 404
    spans.one("GET /points/{user_id}")
    names = [span.name for span in spans.exporter.get_finished_spans()]
    assert [name for name in names if name.startswith("GET")] == ["GET /points/{user_id}"]


def _extensions(api: ApiEnvironment, user_id: str) -> object:
    [(found,)] = api.ledger.rows("SELECT extensions FROM journal WHERE user_id = %(user)s", user=user_id)
    return found


def test_without_tracing_the_api_keeps_the_callers_headers_with_the_command(
    api: ApiEnvironment, user: User
) -> None:
    anna = user()
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}
    assert api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, **headers).status_code == 200
    assert _extensions(api, anna) == headers


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({"traceparent": "00-1-2-01"}, None),
        ({"tracestate": "vendor=1"}, None),
        ({"traceparent": TRACEPARENT, "tracestate": "v=" + "x" * 511}, {"traceparent": TRACEPARENT}),
    ],
)
def test_headers_that_are_no_trace_are_ignored(
    api: ApiEnvironment, user: User, headers: dict[str, str], kept: object
) -> None:
    anna = user()
    assert api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, **headers).status_code == 200
    assert _extensions(api, anna) == kept


def test_a_retry_in_another_trace_gets_the_first_response(
    api: ApiEnvironment, spans: Spans, user: User
) -> None:
    anna = user()
    first, second = (
        api.post(f"/points/{anna}/earn", api.till, {"amount": 5}, key=f"key-of-{anna}", traceparent=trace)
        for trace in (TRACEPARENT, TRACEPARENT.replace("0af7", "1bf8"))
    )
    assert second.content == first.content
    assert api.ledger.balance(anna) == 5
    assert len(spans.named("accept earn")) == 2
