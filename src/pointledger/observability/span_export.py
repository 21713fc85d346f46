"""Sets OpenTelemetry up in the project's own programs: spans go out by OTLP over HTTP, in batches.

A thread of the SDK sends them. If the collector is away or slow, the SDK drops spans, and no command waits.
"""

import os

from pointledger import tracing
from pointledger.errors import TracingNotInstalled
from pointledger.settings import Settings

_SERVICE = "service.name"
# For a batch of spans, with its retries. A process that stops while the collector is away waits for two of
# them. With OpenTelemetry's ten seconds that is longer than supervisors wait before they kill.
_EXPORT_SECONDS = 2.0
_TIMEOUTS = {"OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"}


def send_spans(settings: Settings, program: str) -> None:
    """Set it up if the settings ask for it. Raises TracingNotInstalled.

    The service is named `pointledger-PROGRAM`, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES name it.
    A program that was started by `opentelemetry-instrument` is set up already, and stays as it is.
    """
    if not settings.tracing or tracing.is_on():
        return
    try:
        from opentelemetry import trace  # noqa: PLC0415  an extra of its own
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise TracingNotInstalled from None
    given = OTELResourceDetector().detect().attributes
    named = {} if _SERVICE in given else {_SERVICE: f"pointledger-{program}"}
    provider = TracerProvider(resource=Resource.create(named))
    timeout = None if _TIMEOUTS & os.environ.keys() else _EXPORT_SECONDS
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=timeout)))
    trace.set_tracer_provider(provider)
