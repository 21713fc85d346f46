"""Follows one request of the demonstration through all processes, and draws its trace for the docs.

python -m pointledger_demo.trace    writes docs/assets/trace.svg

It starts the system with tracing and a relay, and stands in for OpenTelemetry's Collector.
"""

import json
import os
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import tenant_from
from pointledger.settings import Settings
from pointledger.storage.database import engine_for
from pointledger.storage.ledger import program
from pointledger_demo.processes import ProcessGroup
from pointledger_demo.program import RULES, TENANT, TENANT_CONFIG
from pointledger_demo.trace_picture import CollectedSpan, draw

_ROOT = Path(__file__).parents[2]
_PICTURE = _ROOT / "docs" / "assets" / "trace.svg"

_SECONDS = 60.0  # for the system to start, and for the spans to come: it takes a few
_POLL_SECONDS = 0.05
_NOT_RECORDED = f"00-{1:032x}-{1:016x}-00"  # the last two digits say that its caller does not record it
_NAMES = ("POST /admin/points/apply-rule", "accept apply-rule", "apply commands", "send points.earned")


Found = TypeVar("Found")


class Collector:
    """Receives spans by OTLP over HTTP, on a free port of this machine."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.spans.extend(_decoded(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Collector":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def trace(self) -> list[CollectedSpan]:
        """Return the request's spans in the order of `_NAMES`, or an empty list while some are missing."""
        found = {span.name: span for span in list(self.spans) if span.name in _NAMES}
        return [found[name] for name in _NAMES] if len(found) == len(_NAMES) else []


def _decoded(body: bytes) -> Iterator[CollectedSpan]:
    # Of the exporter's packages, the extra `otel`.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceRequest,
    )

    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        names = [
            each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
        ]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield CollectedSpan(
                    service=names[0],
                    name=span.name,
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    links=tuple(link.span_id.hex() for link in span.links),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                )


@contextmanager
def _tracing_to(url: str) -> Iterator[None]:
    """Set the variables that the processes inherit."""
    given = {
        "POINTLEDGER_TRACING": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",  # milliseconds until spans are sent: someone waits for them
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def trace_of_a_request(data: Path, settings: Settings | None = None) -> list[CollectedSpan]:
    """Start the system, send an event of a customer over HTTP, and return the spans of its trace.

    `data` is the folder for logs, and for the embedded servers unless `settings` name others. Raises
    TimeoutError.
    """
    with Collector() as collector, _tracing_to(collector.url):
        system = ProcessGroup(
            _ROOT, data=data, settings=settings, workers=1, beat=False, api_for=TENANT, usual_ports=False
        )
        with system as started:
            _put_program(started)
            relay = system.start_command("relay")
            try:
                system.wait_for_api()
                _send_event(system, "ben", "b-0", _NOT_RECORDED)  # what only a first request pays is paid
                _send_event(system, "anna", "b-1", None)
                return _awaited(collector.trace)
            finally:
                relay.terminate()
                relay.wait()


def _put_program(settings: Settings) -> None:
    database = engine_for(settings.database)
    with database.begin() as connection:
        program.put_tenant(connection, tenant_from(TENANT_CONFIG | {"events": "all"}))
        for rule in RULES:
            program.put_rule(connection, TENANT, rule_from(rule))
    database.dispose()


def _send_event(system: ProcessGroup, user_id: str, event_id: str, traceparent: str | None) -> None:
    event = {"event_type": "basket.paid", "user_id": user_id, "event_id": event_id}
    headers = {"Authorization": f"Bearer {system.token_file.read_text()}", "Content-Type": "application/json"}
    request = urllib.request.Request(  # noqa: S310  (the API of this machine)
        f"{system.api_url}/admin/points/apply-rule",
        json.dumps(event | {"metadata": {"amount_minor": 1999}}).encode(),
        headers | ({"traceparent": traceparent} if traceparent else {}),
    )

    def is_accepted() -> bool:
        try:
            return bool(urllib.request.urlopen(request, timeout=_SECONDS).status)  # noqa: S310
        except OSError:  # the API is starting
            return False

    _awaited(is_accepted)


def _awaited(look: Callable[[], Found]) -> Found:
    give_up_at = time.monotonic() + _SECONDS
    while not (found := look()):
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"not within {_SECONDS} s")
        time.sleep(_POLL_SECONDS)
    return found


def main() -> None:
    """Make the picture anew."""
    with tempfile.TemporaryDirectory() as data:
        _PICTURE.write_text(draw(trace_of_a_request(Path(data))))


if __name__ == "__main__":
    main()
