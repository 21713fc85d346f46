"""In which order files of tests are handed out: the longest first, so that none is left alone at the end;
those of pure code last, for each takes a moment. `./dev test --slow` tells what takes long."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent

# Each takes more than ten seconds on a machine that does nothing else.
LONGEST_FIRST = (
    "chaos/test_chaos.py",
    "docs/test_stranger.py",
    "http/test_schemathesis.py",
    "faults/test_failpoints.py",
    "faults/test_failpoints_elsewhere.py",
    "client/test_hosts.py",
    "client/test_wheel.py",
    "by_name/test_queue.py",
    "by_name/test_other_clients.py",
    "by_name/test_commands.py",
    "by_name/test_callbacks.py",
    "engine/test_order_and_turns.py",
    "model/test_model.py",
    "engine/test_holds.py",
    "engine/test_shared_limits.py",
    "events/test_sdks.py",
    "events/test_relay.py",
    "events/test_intake.py",
    "http/test_docs.py",
    "http/test_generated_clients.py",
    "http/test_proxies.py",
    "http/test_any_client.py",
    "http/test_description.py",
    "audit/test_audit.py",
    "bench/test_bench.py",
    "faults/test_crashes.py",
    "faults/test_deploys.py",
    "faults/test_without.py",
    "faults/test_historical_bugs.py",
    "replay/test_real_baskets.py",
    "embedded/test_servers.py",
    "operate/test_away.py",
    "operate/test_secrets.py",
    "operate/test_metrics.py",
    "workers/test_poison.py",
)
_PURE = HERE / "domain"


def rank(item: pytest.Item) -> int:
    """When it runs; files of one rank stay in order."""
    if _PURE in item.path.parents:
        return len(LONGEST_FIRST) + 1
    place = item.path.relative_to(HERE).as_posix()
    return LONGEST_FIRST.index(place) if place in LONGEST_FIRST else len(LONGEST_FIRST)
