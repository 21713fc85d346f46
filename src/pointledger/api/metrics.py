"""Prometheus metrics of the API. The label is the route's template, so no label contains a user's id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "pointledger_http_requests", "HTTP responses", ["method", "route", "status"], registry=REGISTRY
)
SECONDS = Histogram(
    "pointledger_http_seconds",
    "Seconds from request to response",
    ["route"],
    registry=REGISTRY,
    buckets=_BUCKETS,
)
ACCEPT_SECONDS = Histogram(
    "pointledger_http_accept_seconds",
    "From a command that a request carries to its commit in the journal",
    registry=REGISTRY,
    buckets=_BUCKETS,
)
UNDER_WAY = Gauge("pointledger_http_requests_under_way", "Requests in progress", registry=REGISTRY)
SLOTS = Gauge("pointledger_http_slots_taken", "Requests that hold a slot", registry=REGISTRY)
CONNECTIONS = Gauge("pointledger_http_connections", "Open connections", ["port"], registry=REGISTRY)
OVER_SHARE = Counter(
    "pointledger_http_over_share",
    "Connections and requests that were refused or ended early because others needed their share",
    ["what"],
    registry=REGISTRY,
)
GROUP_SIZE = Histogram(
    "pointledger_http_accepted_together",
    "Commands accepted per statement",
    registry=REGISTRY,
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)


def exposition() -> bytes:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
