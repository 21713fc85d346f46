"""The pydantic models that a model's fields consist of."""

from collections.abc import Iterator
from types import UnionType
from typing import get_args

from pydantic import BaseModel


def models_in(*models: type[BaseModel]) -> list[type[BaseModel]]:
    """Those that the fields name, and those that their fields name, each once, in the order of the fields."""
    found: dict[type[BaseModel], None] = {}
    for model in models:
        for field in model.model_fields.values():
            for part in _in_annotation(field.annotation):
                if part not in found:
                    found |= dict.fromkeys((part, *models_in(part)))
    return list(found)


def _in_annotation(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, UnionType):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for part in get_args(annotation):
        yield from _in_annotation(part)
