"""Where a run's time goes: with `--slow` it ends with the tests and the fixtures that took most of it.

What a fixture takes to be made and to be taken down counts as its own, not as the test's that came first.
"""

import time
from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest

_SHOWN = 10


class Slow:
    """A plugin: it measures in each process that runs tests, and adds up in the one that reports."""

    def __init__(self) -> None:
        self._unreported: dict[str, float] = {}  # seconds by fixture
        self._ending: dict[str, float] = {}  # since when a fixture is being taken down
        self._tests: dict[str, list[float]] = defaultdict(list)
        self._fixtures: dict[str, list[float]] = defaultdict(list)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Those that the fixture asks for by its arguments have been made before."""
        name, began = _name(fixturedef), time.perf_counter()
        try:
            return (yield)
        finally:
            self._note(name, began)
            # The last that is added is the first that is called.
            fixturedef.addfinalizer(lambda: self._ending.update({name: time.perf_counter()}))

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        name = _name(fixturedef)
        if name in self._ending:
            self._note(name, self._ending.pop(name))

    def _note(self, name: str, began: float) -> None:
        self._unreported[name] = self._unreported.get(name, 0.0) + time.perf_counter() - began

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """xdist hands a report's attributes on to the process that reports."""
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
        _show(terminalreporter, "slowest fixtures, all times together", self._fixtures)


def _name(fixturedef: pytest.FixtureDef[Any]) -> str:
    return f"{fixturedef.baseid}::{fixturedef.argname}"


def _show(reporter: pytest.TerminalReporter, title: str, seconds: dict[str, list[float]]) -> None:
    reporter.section(title)
    for name in sorted(seconds, key=lambda name: -sum(seconds[name]))[:_SHOWN]:
        reporter.write_line(f"{sum(seconds[name]):8.2f} s  {name}")
