"""The Collector's configuration scrapes what Prometheus' does, and has all that its pipelines name."""

from pathlib import Path
from typing import Any

import yaml

_DEPLOY = Path(__file__).parents[2] / "deploy"


def _read(name: str) -> Any:
    return yaml.safe_load((_DEPLOY / name).read_text())


def _targets(scrapes: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {one["job_name"]: one["static_configs"][0]["targets"] for one in scrapes}


def test_the_collector_scrapes_the_targets_of_prometheus() -> None:
    collector = _read("opentelemetry/collector.yml")["receivers"]["prometheus"]["config"]
    prometheus = _read("prometheus/prometheus.yml")
    assert _targets(collector["scrape_configs"]) == _targets(prometheus["scrape_configs"])
    intervals = {one["scrape_interval"] for one in collector["scrape_configs"]}
    assert intervals == {prometheus["global"]["scrape_interval"]}


def test_each_pipeline_names_parts_that_are_configured_and_no_part_is_unused() -> None:
    config = _read("opentelemetry/collector.yml")
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in config["service"]["pipelines"].values() for name in pipeline[kind]}
        assert used == set(config[kind])
