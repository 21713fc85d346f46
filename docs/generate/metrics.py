"""metrics.md: every metric, its labels and meaning. Tests compare the alerts and dashboards with it."""

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from prometheus_client.metrics import MetricWrapperBase

from docs.generate.markdown import code, codes, heading, items, page
from docs.generate.prose_files import prose
from pointledger.api import metrics as api_metrics
from pointledger.observability import counters
from pointledger.observability.metrics import ACCEPTED, GAUGES


class Described(NamedTuple):
    """A metric as the page shows it. `name` is that of a counter's sample, with its `_total`."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


def described() -> list[Described]:
    """All metrics of the ledger: those that the exporter reads, then those that processes count."""
    read = [Described(gauge.name, "gauge", gauge.labels, gauge.documentation) for gauge in GAUGES]
    name, meaning = ACCEPTED
    return [Described(f"{name}_total", "counter", (), meaning), *read, *_counted(counters)]


def described_http() -> list[Described]:
    """The metrics that each process of the HTTP API has for itself."""
    return list(_counted(api_metrics))


def metrics_page() -> str:
    """The whole page."""
    return page(
        "Metrics",
        prose("metrics.md"),
        *(part for type_ in ("gauge", "counter", "histogram") for part in _of_type(type_)),
        heading(2, "Of each HTTP API process"),
        items(_line(each) for each in described_http()),
    )


def _of_type(type_: str) -> Iterator[str]:
    yield heading(2, f"{type_.capitalize()}s")
    yield items(_line(each) for each in described() if each.type == type_)


def _line(metric: Described) -> str:
    return f"**{code(metric.name)}**{_labels(metric)}: {metric.meaning}."


def _labels(metric: Described) -> str:
    return f" *(by {codes(metric.labels)})*" if metric.labels else ""


def _counted(module: ModuleType) -> Iterator[Described]:
    for metric in vars(module).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield Described(name, family.type, metric._labelnames, family.documentation)
