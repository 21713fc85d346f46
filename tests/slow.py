"""Lists the slowest tests and fixtures at the end of a run with `--slow`.

A fixture's setup and teardown count as its own time, not as that of the first test.
"""

import time
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest

_SHOWN = 10


class Slow:
    """A plugin that measures in each test process and adds up in the process that reports."""

    def __init__(self) -> None:
        self._unreported: dict[str, float] = {}  # seconds by fixture
        self._ending: dict[str, float] = {}  # when the teardown of a fixture began
        self._tests: dict[str, list[float]] = defaultdict(list)
        self._fixtures: dict[str, list[float]] = defaultdict(list)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Measure the setup. pytest has set up the fixture's own arguments before."""
        name, began = _name(fixturedef), time.perf_counter()
        try:
            return (yield)
        finally:
            self._note(name, began)
            # pytest calls the last added finalizer first.
            fixturedef.addfinalizer(lambda: self._ending.update({name: time.perf_counter()}))

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        name = _name(fixturedef)
        if name in self._ending:
            self._note(name, self._ending.pop(name))

    def _note(self, name: str, began: float) -> None:
        self._unreported[name] = self._unreported.get(name, 0.0) + time.perf_counter() - began

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the times to the report, which xdist sends to the process that reports."""
        report = yield
        vars(report)["fixture_seconds"], self._unreported = self._unreported, {}
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._tests[report.nodeid].append(report.duration)
        for name, seconds in vars(report).get("fixture_seconds", {}).items():
            self._fixtures[name].append(seconds)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        _show(terminalreporter, "slowest tests", self._tests)
        _show(terminalreporter, "slowest fixtures, in total", self._fixtures)


def _name(fixturedef: pytest.FixtureDef[Any]) -> str:
    return f"{fixturedef.baseid}::{fixturedef.argname}"


def _show(reporter: pytest.TerminalReporter, title: str, seconds: dict[str, list[float]]) -> None:
    reporter.section(title)
    for name in sorted(seconds, key=lambda name: -sum(seconds[name]))[:_SHOWN]:
        reporter.write_line(f"{sum(seconds[name]):8.2f} s  {name}")
