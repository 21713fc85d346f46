"""A release says what it is made of, and the same commit gives the same packages."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from deploy.supply_chain import LOCK, UNREACHABLE, VULNERABLE, audit, license_list, licenses_of, main

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_STRONG_COPYLEFT = re.compile(r"(?<!L)GPL|General Public License", re.IGNORECASE)
_BUILT = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "src", "workers", "schedules")


def locked() -> dict[str, str]:
    """Return the version of each package that is locked for this Python."""
    lines = re.findall(r"^([\w.-]+)==([\w.!+]+)(?: ; ([^\\\n]+))?", LOCK.read_text(), re.MULTILINE)
    return {name: each for name, each, marker in lines if not marker or Marker(marker).evaluate()}


def test_the_version_stands_in_one_place() -> None:
    elsewhere = [
        path.relative_to(ROOT)
        for folder in ("src", "workers", "schedules")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^__version__\b", path.read_text(), re.MULTILINE)
    ]
    assert elsewhere == []
    assert version("pointledger") == PROJECT["version"]


def test_every_locked_tool_and_package_has_a_hash_and_no_address() -> None:
    for path in (LOCK, ROOT / "deploy" / "tools.lock"):
        lines = path.read_text().splitlines()
        packages = [place for place, line in enumerate(lines) if "==" in line and not line.startswith(" ")]
        assert packages
        assert all("--hash=sha256:" in lines[place + 1] for place in packages)
        assert "://" not in path.read_text()


def test_a_license_is_an_expression_or_what_a_package_names() -> None:
    sbom = {
        "components": [
            {"name": "B", "version": "1", "licenses": [{"expression": "MIT OR Apache-2.0"}]},
            {
                "name": "a",
                "version": "2",
                "licenses": [
                    {"license": {"id": "MIT"}},
                    {"license": {"name": "License :: OSI Approved :: MIT License"}},
                ],
            },
            {"name": "c", "version": "3"},
        ]
    }
    assert license_list(sbom).splitlines()[2:] == [
        "| a | 2 | MIT, MIT License |",
        "| b | 1 | MIT OR Apache-2.0 |",
        "| c | 3 | unknown |",
    ]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a pip-audit that answers with the content of a file."""
    program = tmp_path / "pip-audit"
    program.write_text(f'#!/bin/sh\necho "no route" >&2\ncat "{tmp_path}/answer" 2>/dev/null\nexit 1\n')
    program.chmod(0o755)
    return tmp_path


def answer(tools: Path, *packages: dict[str, Any]) -> None:
    (tools / "answer").write_text(json.dumps({"dependencies": packages, "fixes": []}))


GOOD = {"name": "redis", "version": "8.1.0", "vulns": []}
BAD = GOOD | {"vulns": [{"id": "CVE-2026-1", "fix_versions": ["8.1.1"]}]}
SKIPPED = {"name": "kombu", "skip_reason": "not found on PyPI"}


def test_an_audit_names_each_vulnerability_with_the_version_that_has_none(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(tools, BAD, SKIPPED)
    assert audit(tools) == VULNERABLE
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "redis 8.1.0: CVE-2026-1, fixed in 8.1.1",
        "kombu: not found on PyPI",
        "1 of 2 packages looked up",
    ]
    answer(tools, GOOD)
    assert audit(tools) == 0


def test_an_audit_that_could_look_nothing_up_is_no_success(
    tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(tools) == UNREACHABLE
    assert "no package could be looked up: no route" in capsys.readouterr().err
    answer(tools, SKIPPED)
    assert audit(tools) == UNREACHABLE


@pytest.mark.long
def test_the_sbom_has_what_the_wheel_installs_and_every_license_is_known(tmp_path: Path) -> None:
    assert main(["sbom", "--into", str(tmp_path)]) == 0
    name = f"pointledger-{PROJECT['version']}"
    sbom = json.loads((tmp_path / f"{name}.cdx.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    root = sbom["metadata"]["component"]
    assert (root["name"], root["version"]) == ("pointledger", PROJECT["version"])
    versions = {
        each["name"].lower().replace("_", "-").replace(".", "-"): each["version"]
        for each in sbom["components"]
    }
    versions.pop("pointledger", None)
    assert versions.items() <= {name.replace(".", "-"): each for name, each in locked().items()}.items()
    needed = {re.split(r"[\[<>=]", each)[0] for each in PROJECT["dependencies"]}
    assert needed <= versions.keys()
    assert not {"pytest", "mypy", "cyclonedx-bom"} & versions.keys(), "only what the wheel installs"
    licenses = {each["name"]: licenses_of(each) for each in sbom["components"]}
    assert [name for name, found in licenses.items() if found == "unknown"] == []
    assert [name for name, found in licenses.items() if _STRONG_COPYLEFT.search(found)] == []
    assert len((tmp_path / f"{name}.licenses.md").read_text().splitlines()) == len(licenses) + 2


@pytest.mark.long
def test_packages_that_are_built_twice_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    """Of two checkouts whose files have other times and rights."""
    built = []
    for place, mode in (("first", 0o644), ("second", 0o664)):
        checkout = tmp_path / place
        for name in _BUILT:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            checkout.mkdir(exist_ok=True)
            copy(ROOT / name, checkout / name)
        for path in filter(Path.is_file, checkout.rglob("*")):
            path.touch()
            path.chmod(mode)
        into = tmp_path / f"of-{place}"
        command = [sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", into, checkout]
        subprocess.run(list(map(str, command)), check=True)
        built.append({path.name: path.read_bytes() for path in into.glob("pointledger*")})
    first, second = built
    assert len(first) == 2, "a wheel and its source"
    assert first == second
