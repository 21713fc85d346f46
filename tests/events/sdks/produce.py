"""Produces events in every form of CloudEvents' SDK, version 1 or 2, signs them and sends them with kombu.

It uses only the README of this project. usage: produce.py URL SECRET; prints the task ids by case.
"""

import hmac
import json
import sys
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kombu import Connection

try:
    from cloudevents.core.bindings import amqp, rabbitmq  # type: ignore[import-not-found]
    from cloudevents.core.v1.event import CloudEvent  # type: ignore[import-not-found]
except ModuleNotFoundError:
    from cloudevents.conversion import to_binary, to_structured  # type: ignore[import-not-found]
    from cloudevents.http import CloudEvent  # type: ignore[import-not-found]

    rabbitmq = amqp = None

URL, SECRET = sys.argv[1:]
BASKET = {"amount_minor": 1999}
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}

CASES: dict[str, tuple[dict[str, Any], Any]] = {
    "object": ({}, BASKET),
    "typed": ({"datacontenttype": "application/json"}, BASKET),
    "charset": ({"datacontenttype": "application/json; charset=utf-8"}, BASKET),
    "suffix": ({"datacontenttype": "application/vnd.shop.basket+json"}, BASKET),
    "schema": ({"dataschema": "https://example.org/basket/1"}, BASKET),
    "bytes": ({}, json.dumps(BASKET).encode()),
    "text": ({}, json.dumps(BASKET)),
    "trace": ({**TRACE, "partitionkey": "anna", "sampledrate": 30, "cold": True}, BASKET),
    "earn": ({"kind": "earn", "version": 1}, {"amount": 19}),
}


def event(case: str, more: dict[str, Any], data: Any) -> Any:
    now = datetime.now(UTC) if rabbitmq else datetime.now(UTC).isoformat()  # version 1 accepts only text
    attributes = {
        "id": case,
        "source": "/till",
        "type": "basket.paid",
        "subject": case,
        "time": now,
        "tenantid": "shop",
        "iat": now,
        "taskid": str(uuid4()),
    }
    return CloudEvent(attributes | more, data)


def structured(made: Any) -> tuple[str, bytes]:
    """Return the content type and the bytes of a message."""
    if rabbitmq:
        message = rabbitmq.to_structured_event(made)
        return message.content_type, message.body
    headers, body = to_structured(made)
    return headers["content-type"], body


def in_binary_mode(made: Any) -> list[tuple[dict[str, str], str | None, bytes]]:
    """Return headers, content type and bytes by each binding of the SDK."""
    if not rabbitmq:
        headers, body = to_binary(made)
        return [(headers, None, body)]
    one, other = rabbitmq.to_binary_event(made), amqp.to_binary_event(made)
    return [
        (one.headers, one.content_type, one.body),
        (other.application_properties, None, other.application_data),
    ]


def main() -> None:
    sent: dict[str, str] = {}

    with Connection(URL) as connection:
        producer = connection.Producer()

        def send(content_type: str | None, body: bytes, headers: dict[str, str] | None = None) -> None:
            signed = {
                "x-producer": "web-shop",
                "x-key": "new",
                "x-signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest(),
            }
            producer.publish(
                body,
                routing_key="points.ingest",
                headers=(headers or {}) | signed,
                content_type=content_type,
                content_encoding="binary",
            )

        def made(case: str, more: dict[str, Any], data: Any) -> Any:
            event_made = event(case, more, data)
            sent[case] = event_made["taskid"] if not rabbitmq else event_made.get_extension("taskid")
            return event_made

        for case, (more, data) in CASES.items():
            send(*structured(made(case, more, data)))
        content_type, body = structured(made("parameters", {}, BASKET))
        send(content_type.upper() + "; Charset=UTF-8", body)
        batch = [structured(made(f"batch{number}", {}, BASKET))[1] for number in (1, 2)]
        send("application/cloudevents-batch+json", b"[" + b",".join(batch) + b"]")
        send(*structured(event("no-json", {"datacontenttype": "text/plain"}, "a basket")))
        for headers, data_type, data in in_binary_mode(event("binary", {}, BASKET)):
            send(data_type, data, headers)
    print(json.dumps(sent))


main()
