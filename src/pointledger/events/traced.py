"""Traces the events that a relay has sent."""

from collections.abc import Sequence

from pointledger import tracing
from pointledger.domain.events.outgoing import Event
from pointledger.ids import show_id


def record_sent(events: Sequence[Event], exchange: str, began_ns: int) -> None:
    """Record a span for each event whose command belongs to a recorded trace, as a part of that trace.

    The events were sent together, so their spans have the same times. `began_ns`: nanoseconds since 1970.
    """
    if not tracing.is_on():
        return
    for event in events:
        carrier = {"traceparent": event.traceparent}
        if event.traceparent is not None and tracing.is_sampled(carrier):
            attributes = {
                "messaging.system": "pointledger",
                "messaging.operation.type": "send",
                "messaging.destination.name": exchange,
                "messaging.message.id": show_id(event.id),
                "pointledger.tenant_id": event.tenant_id,
            }
            tracing.record(f"send {event.type}", "PRODUCER", attributes, parent=carrier, began_ns=began_ns)
