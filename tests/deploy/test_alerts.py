"""The alerts read metrics that exist, link to runbooks, and fire on their faults and on nothing else."""

import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from pointledger.observability.metrics import UP
from tests.deploy.expressions import (
    PROMETHEUS,
    RULE_FILES,
    alerts,
    faults_of,
    recorded_names,
    rules,
    selectors,
)
from tests.deploy.faults import FAULTS, Fault, series_of
from tests.deploy.promtool import Situation, firing, promtool

RUNBOOKS = Path(__file__).parents[2] / "docs" / "operate" / "runbooks"
MONITOR = RUNBOOKS.parent / "monitor.md"
_LINK = re.compile(r"\{\{ \$externalLabels\.docs_url \}\}/operate/runbooks/([\w-]+)/(?:#([\w-]+))?")
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_BURNS = {"Fast": [("14.4", "1h"), ("14.4", "5m"), ("6", "6h"), ("6", "30m")]} | {
    "": [("3", "1d"), ("3", "2h"), ("1", "3d"), ("1", "6h")]
}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_reads_metrics_and_labels_that_exist(rule: dict[str, str]) -> None:
    assert list(faults_of(rule["expr"], recorded_names())) == []


def test_a_rule_that_reads_what_no_exporter_has_is_found() -> None:
    for expression, found in (
        ("pointledger_lag > 1", "no metric pointledger_lag"),
        ('pointledger_up{host="a"} == 0', "pointledger_up has no label host"),
        ("max by (user) (pointledger_up)", "groups by user"),
        ('pointledger_outcome_seconds_bucket{le="0.2"}', "no bucket 0.2"),
        ("up == 0", "reads no metric"),
    ):
        (fault,) = faults_of(expression, set())
        assert found in fault


def test_no_recorded_series_is_read_by_no_alert() -> None:
    read = {each.name for rule in rules() for each in selectors(rule["expr"])}
    assert recorded_names() <= read


@pytest.mark.parametrize("name", alerts())
def test_every_alert_has_a_severity_a_summary_and_a_runbook(name: str) -> None:
    alert = alerts()[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"]
    link = _LINK.fullmatch(alert["annotations"]["runbook_url"])
    assert link, alert["annotations"]["runbook_url"]
    page, anchor = link.groups()
    text = (RUNBOOKS / f"{page}.md").read_text()
    headings = [heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    assert anchor is None or anchor in headings


def test_the_monitoring_page_lists_every_alert_with_its_runbook() -> None:
    rows = dict(
        re.findall(r"^\| `(Pointledger\w+)`.*?\((runbooks/[\w./#-]+)\) \|$", MONITOR.read_text(), re.M)
    )
    linked = {
        name: _LINK.sub(r"runbooks/\1.md#\2", alert["annotations"]["runbook_url"]).rstrip("#")
        for name, alert in alerts().items()
    }
    assert rows == linked


def test_every_objective_has_one_budget_and_the_same_windows() -> None:
    recorded = Counter(name.rpartition(":ratio_")[0] for name in recorded_names() if ":ratio_" in name)
    assert len(recorded) == 4
    for objective, windows in recorded.items():
        assert windows == len(_WINDOWS)
        for window in _WINDOWS:
            (rule,) = (each for each in rules() if each.get("record") == f"{objective}:ratio_{window}")
            assert set(re.findall(r"\[(\w+)\]", rule["expr"])) == {window}
        burning = [alert for alert in alerts().values() if objective in alert["expr"]]
        found = {
            "Fast" if alert["alert"].endswith("Fast") else "": re.findall(
                rf"{objective}:ratio_(\w+) > ([\d.]+) \* ([\d.]+)", alert["expr"]
            )
            for alert in burning
        }
        assert {
            kind: [(rate, window) for window, rate, _ in parts] for kind, parts in found.items()
        } == _BURNS
        assert len({budget for parts in found.values() for _, _, budget in parts}) == 1


def test_the_configuration_reads_every_file_of_rules() -> None:
    given = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert given["rule_files"] == [path.name for path in RULE_FILES]
    assert "docs_url" in given["global"]["external_labels"]


def test_every_alert_has_a_fault_that_fires_it() -> None:
    assert set().union(*(fault.fires for fault in FAULTS)) == alerts().keys()


def test_the_faults_begin_with_every_series_that_an_alert_reads() -> None:
    played = {name.split("{")[0] for name in series_of(FAULTS[0])}
    assert {UP.name} < played
    read = {each.name for rule in rules() for each in selectors(rule["expr"])} - recorded_names()
    assert read <= played


@pytest.mark.long
def test_promtool_accepts_the_rules_and_the_configuration() -> None:
    checked = promtool("check", "rules", *RULE_FILES)
    assert checked.returncode == 0, checked.stderr
    checked = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_alert_fires_on_its_fault_and_on_nothing_else(fault: Fault, tmp_path: Path) -> None:
    """Just before the fault, nothing fires."""
    last_healthy = fault.healthy_minutes - fault.step
    moments = (f"{last_healthy}m", f"{last_healthy + fault.minutes}m")
    situation = Situation(series_of(fault), f"{fault.step}m", moments)
    assert firing(tmp_path, situation) == [set(), fault.fires]
