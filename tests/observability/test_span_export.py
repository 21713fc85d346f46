"""The project's own programs send spans if the settings ask for it."""

import sys
from pathlib import Path

import pytest
from opentelemetry import trace

from pointledger import tracing
from pointledger.errors import TracingNotInstalled
from pointledger.observability.span_export import send_spans
from pointledger.settings import Settings
from pointledger_demo.trace import trace_of_a_request
from pointledger_demo.trace_picture import draw
from tests.spans import kept_spans

ON = Settings.model_construct(tracing=True)


@pytest.mark.long
def test_a_request_is_followed_through_the_real_processes(settings: Settings, tmp_path: Path) -> None:
    spans = trace_of_a_request(tmp_path, settings)

    request, accepted, batch, sent = spans
    assert [span.service for span in spans] == [
        "pointledger-api",
        "pointledger-api",
        "pointledger-worker",
        "pointledger-relay",
    ]
    assert (request.parent_id, accepted.parent_id, sent.parent_id) == ("", request.span_id, accepted.span_id)
    assert (batch.parent_id, batch.links) == ("", (accepted.span_id,))
    picture = draw(spans)
    assert (picture.count("<rect "), picture.count("<path ")) == (4, 1)


def test_without_the_extra_a_program_does_not_start_and_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingNotInstalled, match=r"pip install 'pointledger\[otel\]'"):
        send_spans(ON, "worker")


def test_without_the_setting_nothing_is_set_up() -> None:
    send_spans(Settings.model_construct(tracing=False), "worker")
    assert not tracing.is_on()


def test_a_provider_that_another_tool_has_set_up_stays() -> None:
    with kept_spans() as spans:
        send_spans(ON, "worker")
        assert trace.get_tracer_provider() is spans.provider
