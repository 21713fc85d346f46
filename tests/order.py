"""Orders test files: the longest first, so that none runs alone at the end, and those of pure code last.

`./dev test --slow` lists the slowest tests.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent

# Each takes more than ten seconds on an idle machine.
LONGEST_FIRST = (
    "chaos/test_chaos.py",
    "acceptance/test_pooler.py",
    "docs/test_fresh_clone.py",
    "bench/test_bench.py",
    "api/test_schemathesis.py",
    "workers/test_urls.py",
    "acceptance/test_replays.py",
    "docs/test_install.py",
    "docs/test_shops.py",
    "docs/test_guides.py",
    "docs/test_tutorial.py",
    "faults/test_failpoints.py",
    "faults/test_failpoints_jobs.py",
    "faults/test_failpoints_messages.py",
    "client/test_hosts.py",
    "client/test_wheel.py",
    "test_wheels.py",
    "integrations/test_queue.py",
    "integrations/test_other_clients.py",
    "integrations/test_commands.py",
    "integrations/test_callbacks.py",
    "engine/test_order_and_locks.py",
    "model/test_model.py",
    "engine/test_holds.py",
    "engine/test_holds_at_random.py",
    "engine/test_shared_limits.py",
    "events/test_sdks.py",
    "events/test_relay.py",
    "events/test_dead_letters.py",
    "events/test_ingest.py",
    "console/test_browser.py",
    "console/test_actions.py",
    "console/test_queue_browser.py",
    "deploy/test_alerts.py",
    "deploy/test_supply_chain.py",
    "deploy/test_image.py",
    "deploy/test_dashboards.py",
    "console/test_today_browser.py",
    "api/test_docs.py",
    "api/test_generated_clients.py",
    "api/test_proxies.py",
    "api/test_http_clients.py",
    "api/test_openapi.py",
    "api/test_shares.py",
    "api/test_connections.py",
    "api/test_operators_port.py",
    "observability/verify/test_verify.py",
    "faults/test_surroundings.py",
    "faults/test_surroundings_rabbitmq.py",
    "faults/test_crashes.py",
    "faults/test_deploys.py",
    "faults/test_failover.py",
    "faults/test_full_logs.py",
    "faults/test_without.py",
    "faults/test_historical_bugs.py",
    "acceptance/test_real_baskets.py",
    "storage/test_plans.py",
    "embedded/test_servers.py",
    "observability/test_away.py",
    "observability/test_secrets.py",
    "observability/test_metrics.py",
    "workers/test_health.py",
    "workers/test_poison.py",
    "storage/test_live_migration.py",
)
_PURE = HERE / "domain"


def rank(item: pytest.Item) -> int:
    """Return the sort key of a test; files of one rank keep their order."""
    if _PURE in item.path.parents:
        return len(LONGEST_FIRST) + 1
    place = item.path.relative_to(HERE).as_posix()
    return LONGEST_FIRST.index(place) if place in LONGEST_FIRST else len(LONGEST_FIRST)
