"""Traces commands with OpenTelemetry, if the process uses it.

OpenTelemetry is an API without effect, and an SDK that a program sets up. A process in which no other code
has imported the API can have no span, so this module imports nothing until then. A service without
OpenTelemetry needs no package, and pays for a look into `sys.modules`.

A *carrier* is a mapping with `traceparent` and maybe `tracestate` (W3C Trace Context), like the extensions of
a command. The journal keeps it, so a trace leads to the worker's batch, however late that runs.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer, TracerProvider

Carrier = Mapping[str, Any]
Kind = Literal["PRODUCER", "CONSUMER"]

MOST_LINKS = 128  # of a span: the SDK's own limit, beyond which it drops links

_API = "opentelemetry.trace"
_SCOPE = "pointledger"

_known: "tuple[TracerProvider, Tracer] | None" = None  # making a tracer costs more than a span


def is_on() -> bool:
    """Say whether this process has set OpenTelemetry up."""
    return _provider() is not None


def ids() -> dict[str, str]:
    """Return `trace_id` and `span_id` of the current span for a log line, or nothing."""
    api = sys.modules.get(_API)
    if api is None or not hasattr(api, "get_current_span"):  # another thread may be importing it
        return {}
    context = api.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def is_sampled(carrier: Carrier) -> bool:
    """Say whether the carrier names a trace that is recorded."""
    context = _context_of(carrier)
    return context is not None and context.trace_flags.sampled


@contextmanager
def span(
    name: str,
    kind: Kind,
    attributes: Mapping[str, Any],
    *,
    parent: Carrier | None = None,
    links: Iterable[Carrier] = (),
) -> Iterator["Span"]:
    """Run the block in a span. Call it only while `is_on()`.

    The current span is the parent. Without one it is `parent`, and without that the span begins a trace. An
    exception marks the span with the name of its class, because its text may name a person.
    """
    from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415  see the module

    with _tracer().start_as_current_span(
        name,
        context=_parent(parent),
        kind=SpanKind[kind],
        attributes=dict(attributes),
        links=_links(links),
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield opened
        except BaseException as error:
            opened.set_attribute("error.type", type(error).__name__)
            opened.set_status(StatusCode.ERROR)
            raise


def record(name: str, kind: Kind, attributes: Mapping[str, Any], *, parent: Carrier, began_ns: int) -> None:
    """Record what has just ended, as a child of `parent` and of no current span.

    `began_ns`: nanoseconds since 1970.
    """
    from opentelemetry.trace import SpanKind  # noqa: PLC0415  see the module

    _tracer().start_span(
        name,
        context=_extracted(parent),
        kind=SpanKind[kind],
        attributes=dict(attributes),
        start_time=began_ns,
    ).end()


def current_carrier() -> dict[str, str]:
    """Return the carrier of the current span, empty if there is none. Call it only while `is_on()`."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier


def _provider() -> "TracerProvider | None":
    api = sys.modules.get(_API)
    if api is None or not hasattr(api, "get_tracer_provider"):  # another thread may be importing it
        return None
    provider: TracerProvider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
        return None
    return provider


def _tracer() -> "Tracer":
    """Return the process' tracer. If OpenTelemetry is not set up, its spans have no effect."""
    global _known  # noqa: PLW0603  a cache: two threads that fill it write equal tracers
    from opentelemetry.trace import get_tracer_provider  # noqa: PLC0415  see the module

    provider = get_tracer_provider()
    if _known is None or _known[0] is not provider:
        _known = provider, provider.get_tracer(_SCOPE)
    return _known[1]


def _parent(carrier: Carrier | None) -> "Context | None":
    """Return the context of the carrier if there is no current span, else None, which means the current."""
    if carrier is None or ids():
        return None
    return _extracted(carrier)


def _links(carriers: Iterable[Carrier]) -> list[Any]:
    """Return links to different spans, up to the limit."""
    from opentelemetry.trace import Link  # noqa: PLC0415  see the module

    found: dict[tuple[int, int], Any] = {}
    for carrier in carriers:
        context = _context_of(carrier)
        if context is not None:
            found.setdefault((context.trace_id, context.span_id), Link(context))
        if len(found) == MOST_LINKS:
            break
    return list(found.values())


def _context_of(carrier: Carrier) -> "SpanContext | None":
    from opentelemetry.trace import get_current_span  # noqa: PLC0415  see the module

    context = get_current_span(_extracted(carrier)).get_span_context()
    return context if context.is_valid else None


def _extracted(carrier: Carrier) -> "Context":
    """Read a carrier. What is not well formed, or no text, counts as missing."""
    from opentelemetry.context import Context  # noqa: PLC0415  see the module
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    texts = {
        name: carrier[name] for name in ("traceparent", "tracestate") if isinstance(carrier.get(name), str)
    }
    return TraceContextTextMapPropagator().extract(texts, Context())
