"""The dashboards read metrics that exist, and are what Grafana's own types describe."""

import json
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from docs.generate.metrics import described, described_http
from tests import environments
from tests.deploy.expressions import faults_of, recorded_names, selectors

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
NAMES = ("http", "operations", "tenants")
TYPES = Path(__file__).parent / "dashboard_types.ts"
_OF_LABELS = re.compile(r"label_values\((\w+), (\w+)\)")
_COMPILER = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext", "--moduleResolution", "bundler"]


@lru_cache
def dashboard(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def panels(name: str) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in dashboard(name)["panels"] if panel["type"] != "row"]


def expressions(name: str) -> list[str]:
    return [target["expr"] for panel in panels(name) for target in panel["targets"]]


def test_every_dashboard_is_checked() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_reads_metrics_and_labels_that_exist(name: str) -> None:
    found = expressions(name)
    assert len(found) >= len(panels(name)) > 5
    assert [fault for each in found for fault in faults_of(each, recorded_names())] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_has_the_values_of_a_label_that_exists(name: str) -> None:
    variables = {each["name"]: each for each in dashboard(name)["templating"]["list"]}
    for variable in variables.values():
        if variable["type"] == "query":
            of_labels = _OF_LABELS.fullmatch(variable["query"])
            assert of_labels, variable["query"]
            metric, label = of_labels.groups()
            assert list(faults_of(f'{metric}{{{label}="any"}}', set())) == []
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(dashboard(name)))) - {"__rate_interval"}
    assert used == variables.keys()


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {
        each.name for name in NAMES for expression in expressions(name) for each in selectors(expression)
    }
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {each.name for each in [*described(), *described_http()]} <= bases


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_numbers_of_their_own_and_do_not_overlap(name: str) -> None:
    every = dashboard(name)["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in every)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24, "Grafana's grid has 24 columns"


@pytest.mark.long
def test_grafanas_types_describe_every_dashboard(tmp_path: Path) -> None:
    lines = [f"export const {name}: Json<Dashboard> = {json.dumps(_bare(name))};" for name in NAMES]
    lines += [
        f"export const {name}{panel['id']}: Json<{panel['type']}.Options> = {json.dumps(panel['options'])};"
        for name in NAMES
        for panel in panels(name)
    ]
    assert _compile("\n".join(lines), tmp_path) == ""


@pytest.mark.long
def test_a_dashboard_that_grafanas_types_do_not_describe_is_found(tmp_path: Path) -> None:
    strange = {"uid": "a", "schemaVersion": 41, "titel": "a"}
    complaint = _compile(f"export const a: Json<Dashboard> = {json.dumps(strange)};", tmp_path)
    assert "titel" in complaint


def _bare(name: str) -> dict[str, Any]:
    """Return the dashboard without the query of its annotations, whose type is the data source's."""
    found: dict[str, Any] = json.loads(json.dumps(dashboard(name)))
    for annotation in found["annotations"]["list"]:
        assert "ALERTS" in annotation["target"].pop("expr")
    return found


def _compile(lines: str, folder: Path) -> str:
    """Return what TypeScript's compiler complains about."""
    node = environments.node("grafana")
    (folder / "node_modules").symlink_to(node / "node_modules")
    (folder / "dashboards.ts").write_text(TYPES.read_text() + lines)
    compiler = node / "node_modules" / ".bin" / "tsc"
    command: list[str | Path] = [compiler, *_COMPILER, "dashboards.ts"]
    env = dict(environments.clean_environ())
    done = subprocess.run(command, env=env, cwd=folder, check=False, capture_output=True, text=True)
    return done.stdout
