"""asyncapi.json: the events in both directions, for programs. AsyncAPI 3."""

import json
from typing import Any

from docs.generate.events import schema_of, without_titles
from docs.generate.prose_files import sections
from pointledger.domain.commands import KINDS
from pointledger.domain.events.ingested import MAX_EVENTS, VERSION, IncomingEvent
from pointledger.domain.events.outgoing import EVENT_TYPES, EventType
from pointledger.domain.values.extensions import MAX_ATTRIBUTES
from pointledger.events.broker import CONTENT_TYPE
from pointledger.events.reader import KEY, PRODUCER, SIGNATURE
from pointledger.settings import Settings

_VERSION = "1"  # that of the OpenAPI document: of the interface, not of the program
_DESCRIPTION = (
    "The ledger sends events of what it has done, and receives events that it applies. Both are CloudEvents "
    "1.0 in structured mode. This document describes RabbitMQ; on Redis, kombu's queues have the same names."
)
_SENT = (
    "Events come at least once, in order per user. An event that comes again has the same id. Fields may be "
    "added: ignore those that you do not know."
)
_RECEIVED = (
    "What other services send. The ledger makes a command of each event, once per source and id. A message "
    "that is none becomes a dead letter."
)
_HEADERS = {
    PRODUCER: "The producer's name.",
    KEY: "The id of the producer's key.",
    SIGNATURE: "HMAC-SHA-256 of the message's bytes with that key, in hexadecimal.",
}
_MODES = {"cloudEvents": "structured"}


def asyncapi_document() -> str:
    """The document as a file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The whole document, with the names that settings have by default."""
    meanings = sections("event-types.md", EVENT_TYPES, all_of_them=True)
    messages = {event: _outgoing(event, meanings[event]) for event in EVENT_TYPES} | _incoming()
    received = [name for name in messages if name not in EVENT_TYPES]
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "pointledger",
            "version": _VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "events": {
                "host": "rabbitmq.example.com:5671",
                "protocol": "amqps",
                "description": "The broker that POINTLEDGER_EVENTS_URL names.",
            }
        },
        "channels": {
            "sent": _channel(_default("events_exchange"), _SENT, list(EVENT_TYPES), _exchange()),
            "received": _channel(_default("ingest_queue"), _RECEIVED, received, _queue()),
        },
        "operations": {
            "sendEvents": _operation("send", "sent", "The relay sends the events that a tenant chose."),
            "receiveEvents": _operation("receive", "received", "Ingest makes commands of them."),
        },
        "components": {"messages": messages},
    }


def incoming_schema() -> dict[str, Any]:
    """The JSON Schema of one incoming event. Other attributes are extensions of CloudEvents."""
    schema = without_titles(IncomingEvent.model_json_schema())
    properties = schema["properties"]
    properties["kind"] |= {"enum": list(KINDS)}
    properties["data"] = {"description": properties["data"]["description"], "type": ["object", "string"]}
    for name in ("source", "dataschema"):
        properties[name] |= {"pattern": "^[!-~]+$"}  # printable ASCII without blanks
    properties["version"] = {
        "description": properties["version"]["description"],
        "default": VERSION,
        "enum": [VERSION, str(VERSION)],  # a broker that knows no types makes text of a number
    }
    extension = {"type": ["string", "integer", "boolean"], "description": "An extension, kept as it came."}
    most = len(properties) + MAX_ATTRIBUTES
    inlined: dict[str, Any] = _inlined(schema | {"additionalProperties": extension, "maxProperties": most})
    return inlined


def _outgoing(event: EventType, meaning: str) -> dict[str, Any]:
    schema = _inlined(schema_of(event))
    del schema["$schema"]  # the document's own dialect is a superset of what the schema uses
    return {"name": event, "title": event, "summary": meaning, "contentType": CONTENT_TYPE, "payload": schema}


def _incoming() -> dict[str, Any]:
    event = incoming_schema()
    several = {"type": "array", "items": event, "maxItems": MAX_EVENTS}
    headers = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in _HEADERS.items()},
        "required": list(_HEADERS),
    }
    return {
        name: {
            "name": name,
            "title": name,
            "summary": summary,
            "contentType": CONTENT_TYPE,
            "headers": headers,
            "payload": payload,
        }
        for name, summary, payload in (
            ("event", "One event.", event),
            ("events", "Several events, which are accepted together.", several),
        )
    }


def _channel(address: str, text: str, messages: list[str], binding: dict[str, Any]) -> dict[str, Any]:
    return {
        "address": address,
        "description": text,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"amqp": binding | {"bindingVersion": "0.3.0"}},
    }


def _exchange() -> dict[str, Any]:
    """The event's type is the routing key."""
    name = _default("events_exchange")
    return {
        "is": "routingKey",
        "exchange": {"name": name, "type": "topic", "durable": True, "autoDelete": False},
    }


def _queue() -> dict[str, Any]:
    name = _default("ingest_queue")
    return {
        "is": "queue",
        "queue": {"name": name, "durable": True, "exclusive": False, "autoDelete": False},
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _inlined(schema: dict[str, Any]) -> Any:
    """Return the schema without `$defs`: their names would be those of the whole document."""
    definitions = schema.get("$defs", {})

    def inline(part: Any) -> Any:
        if isinstance(part, list):
            return [inline(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            rest = {name: value for name, value in part.items() if name != "$ref"}
            return inline(definitions[part["$ref"].rpartition("/")[2]]) | rest
        return {name: inline(value) for name, value in part.items() if name != "$defs"}

    return inline(schema)


def _default(setting: str) -> Any:
    return Settings.model_fields[setting].default
