"""events.md, and a JSON Schema for each type of outgoing event."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pydantic import BaseModel

from docs.generate.event_data import OF_ENTRIES, OTHERS, EntryWritten, Transaction, model_of
from docs.generate.fields import bullet, fields_of
from docs.generate.markdown import anchor, code, codes, heading, items, link, number, page, paragraphs
from docs.generate.models import models_in
from docs.generate.prose_files import prose, sections
from pointledger.domain.events.ingested import MAX_BYTES, MAX_EVENTS, IncomingEvent
from pointledger.domain.events.outgoing import EVENT_TYPES, EventType
from pointledger.domain.values.extensions import MAX_ATTRIBUTES, TOTAL_BYTES
from pointledger.events.reader import KEY, PRODUCER, SIGNATURE
from pointledger.settings import Settings

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ULID = {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}


def events_page() -> str:
    """The whole page."""
    meanings = sections("event-types.md", EVENT_TYPES, all_of_them=True)
    return page(
        "Events",
        prose("events.md", exchange=_default("events_exchange"), queue=_default("events_queues")[0]),
        items(f"{link(code(event), '#' + anchor(event))}: {meanings[event]}" for event in EVENT_TYPES),
        heading(2, "Attributes"),
        items(_attributes()),
        *(part for event in EVENT_TYPES for part in _event(event, meanings[event])),
        *(part for model in _models() for part in _model(model)),
        heading(2, "Incoming events"),
        prose("incoming-events.md", **_incoming()),
        "\n".join(bullet(field) for field in fields_of(IncomingEvent, _link)),
        prose("extensions.md", most=MAX_ATTRIBUTES, kib=TOTAL_BYTES // 1024),
    )


def schemas() -> dict[str, Callable[[], str]]:
    """The files with the JSON Schemas, by name."""
    return {f"events/{event}.json": partial(_schema_file, event) for event in EVENT_TYPES}


def schema_of(event: EventType) -> dict[str, Any]:
    """The JSON Schema of a whole event of this type."""
    model = model_of(event)
    data = model.model_json_schema()
    definitions = data.pop("$defs", {})
    attributes: dict[str, Any] = {
        "specversion": {"const": "1.0"},
        "id": {"description": "The same however often the event comes.", **_ULID},
        "source": {"type": "string", "description": "The ledger, then the tenant."},
        "type": {"const": event},
        "subject": {"type": "string", "description": "The user."},
        "time": {"type": "string", "format": "date-time", "description": "When the ledger recorded it."},
        "datacontenttype": {"const": "application/json"},
        "traceparent": {"type": "string", "description": "That of the command, if it came with one."},
        "data": data,
    }
    optional = {"traceparent"} if "user_id" in model.model_fields else {"traceparent", "subject"}
    schema = {
        "$schema": _DRAFT,
        "title": event,
        "type": "object",
        "properties": attributes,
        "required": [name for name in attributes if name not in optional],
        "$defs": _named(event, definitions),
    }
    found: dict[str, Any] = without_titles(schema)
    return found


def _schema_file(event: EventType) -> str:
    return json.dumps(schema_of(event), indent=2, ensure_ascii=False) + "\n"


def _named(event: EventType, definitions: dict[str, Any]) -> dict[str, Any]:
    """An entry's event has only the kinds of entry that it is about."""
    if event in OF_ENTRIES:
        properties = definitions[Transaction.__name__]["properties"]
        for place, name in enumerate(("type", "subtype")):
            kinds = dict.fromkeys(kind[place] for kind in OF_ENTRIES[event])
            properties[name] = {"description": properties[name]["description"], "enum": list(kinds)}
    return definitions


def without_titles(schema: Any) -> Any:
    """Without the titles that pydantic makes of names, and without null: what does not apply is left out."""
    if isinstance(schema, list):
        return [without_titles(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: without_titles(part) for name, part in schema.items() if not _is_noise(name, part)}
    variants = [part for part in kept.get("anyOf", ()) if part != {"type": "null"}]
    if len(variants) == 1:
        kept = {name: part for name, part in kept.items() if name not in ("anyOf", "default")} | variants[0]
    return kept


def _is_noise(name: str, part: Any) -> bool:
    return (name == "title" and isinstance(part, str) and part not in EVENT_TYPES) or name == "examples"


def _event(event: EventType, meaning: str) -> Iterator[str]:
    yield heading(2, event)
    yield meaning
    if kinds := OF_ENTRIES.get(event):
        yield f"Kinds of entry: {codes(f'{type_}/{subtype}' for type_, subtype in kinds)}."
    model = model_of(event)
    if model is EntryWritten:
        yield f"The data: {_link(model.__name__)}."
    else:
        yield "The data:"
        yield "\n".join(bullet(field) for field in fields_of(model, _link))
    yield f"JSON Schema: {link(code(f'{event}.json'), f'events/{event}.json')}."


def _models() -> list[type[BaseModel]]:
    """Those that have a section of their own."""
    return [EntryWritten, *models_in(EntryWritten, *OTHERS.values())]


def _model(model: type[BaseModel]) -> Iterator[str]:
    yield heading(2, model.__name__)
    yield paragraphs(model.__doc__ or "")
    yield "\n".join(bullet(field) for field in fields_of(model, _link))


def _attributes() -> Iterator[str]:
    """Of every event, as CloudEvents has them."""
    for name, attribute in schema_of(EVENT_TYPES[0])["properties"].items():
        value = attribute.get("const")
        told = attribute.get("description", "")
        if name == "type":
            told = "One of the types above."
        elif name == "data":
            told = "See each type."
        elif value is not None:
            told = f"Always {code(value)}."
        yield f"**{code(name)}**: {told}"


def _link(name: str) -> str:
    return link(code(name), f"#{anchor(name)}")


def _incoming() -> dict[str, object]:
    """What the text about incoming events names."""
    return {
        "queue": _default("ingest_queue"),
        "kib": MAX_BYTES // 1024,
        "events": number(MAX_EVENTS),
        "headers": codes((PRODUCER, KEY, SIGNATURE)),
    }


def _default(setting: str) -> Any:
    return Settings.model_fields[setting].default


assert {*OF_ENTRIES, *OTHERS} == {*EVENT_TYPES}, "every type has a shape"
assert EntryWritten.model_fields["transaction"], "an entry's event tells the entry"
