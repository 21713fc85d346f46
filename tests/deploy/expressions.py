"""Reads PromQL as far as names and labels go, and knows the metrics that exist."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client import Histogram
from prometheus_client.utils import floatToGoString

from docs.generate.metrics import described, described_http
from pointledger.api import metrics as api_metrics
from pointledger.observability import counters

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = (PROMETHEUS / "alerts.yml", PROMETHEUS / "slos.yml")
_HISTOGRAM = ("_bucket", "_sum", "_count")
_OF_PROMETHEUS = {"instance", "job"}  # labels that a scrape adds

_SELECTOR = re.compile(r"\b(pointledger[a-z0-9_:]*)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


class Selector(NamedTuple):
    """A series that an expression reads, with the labels that it asks for."""

    name: str
    labels: dict[str, str]


def selectors(expression: str) -> list[Selector]:
    """Return the series that an expression reads."""
    return [
        Selector(name, dict(_MATCHER.findall(matchers))) for name, matchers in _SELECTOR.findall(expression)
    ]


def faults_of(expression: str, recorded: set[str]) -> Iterator[str]:
    """Yield what is wrong: names, labels, buckets and groupings that no exporter has."""
    found, known = selectors(expression), samples()
    if not found:
        yield f"reads no metric: {expression}"
    available = set(_OF_PROMETHEUS)
    for name, labels in found:
        if name in recorded:
            continue
        if name not in known:
            yield f"no metric {name}"
            continue
        available |= known[name]
        yield from (f"{name} has no label {label}" for label in labels.keys() - known[name] - _OF_PROMETHEUS)
        bound = labels.get("le")
        if bound is not None and bound not in bounds(name.removesuffix("_bucket")):
            yield f"{name} has no bucket {bound}"
    for grouping in _GROUPING.findall(expression):
        for label in filter(None, (part.strip() for part in grouping.split(","))):
            if label not in available:
                yield f"groups by {label}, which no metric of it has: {expression}"


@lru_cache
def samples() -> dict[str, set[str]]:
    """Return the labels of every sample that an exporter has, by its name."""
    found: dict[str, set[str]] = {}
    for metric in [*described(), *described_http()]:
        if metric.type != "histogram":
            found[metric.name] = set(metric.labels)
            continue
        for suffix in _HISTOGRAM:
            found[metric.name + suffix] = {*metric.labels, *(["le"] if suffix == "_bucket" else [])}
    return found


def bounds(histogram: str) -> set[str]:
    """Return the buckets of a histogram, as their label has them."""
    (found,) = (
        metric
        for module in (counters, api_metrics)
        for metric in vars(module).values()
        if isinstance(metric, Histogram) and metric._name == histogram
    )
    return {str(floatToGoString(bound)) for bound in found._upper_bounds}  # type: ignore[no-untyped-call]


@lru_cache
def rules() -> list[dict[str, Any]]:
    """Return every rule of the deployed files."""
    return [
        rule
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> dict[str, dict[str, Any]]:
    """Return the alerts, by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded_names() -> set[str]:
    """Return the names of the series that rules record."""
    return {rule["record"] for rule in rules() if "record" in rule}
