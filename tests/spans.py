"""Sets OpenTelemetry up for a test, with an exporter that keeps the spans in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext

from tests.waiting import wait_until


class Spans:
    """The spans that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans with this name, in the order of their ends."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def one(self, name: str, wanted: Callable[[ReadableSpan], bool] = lambda _: True) -> ReadableSpan:
        """Wait for the span with this name, because another thread may end it, and return it."""
        wait_until(lambda: any(map(wanted, self.named(name))), f"a span {name}")
        [found] = [span for span in self.named(name) if wanted(span)]
        return found


@contextmanager
def kept_spans() -> Iterator[Spans]:
    """Trace the block in this process. OpenTelemetry lets a program set its provider only once."""
    spans = Spans()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "_TRACER_PROVIDER", spans.provider)
        yield spans


def context_of(span: ReadableSpan) -> SpanContext:
    """Return the trace and the span id of an ended span."""
    context = span.get_span_context()
    assert context is not None
    return context


def linked(span: ReadableSpan) -> set[int]:
    """Return the ids of the spans that the span is linked to."""
    return {link.context.span_id for link in span.links}


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of the span's parent."""
    return span.parent.span_id if span.parent else None


def traceparent_of(span: ReadableSpan) -> str:
    """Return the span's address as W3C Trace Context writes it."""
    context = context_of(span)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
