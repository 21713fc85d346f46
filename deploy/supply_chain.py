"""What a release is made of: an SBOM, the list of licenses, and known vulnerabilities. `./dev sbom` and
`./dev audit` run it.

The tools have a lock file of their own, `deploy/tools.lock`, and an environment that ends with the command.
To lock them anew: uv pip compile --group tools --generate-hashes --python-version 3.11 --universal
--no-header -o deploy/tools.lock
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
TOOLS = ROOT / "deploy" / "tools.lock"

VULNERABLE = 1
UNREACHABLE = 3
"""The exit status if no package could be looked up. CI then says so and goes on."""


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="./dev", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    sbom = commands.add_parser("sbom", help="write the SBOM and the list of licenses of the wheel")
    sbom.add_argument("--into", type=Path, default=ROOT / "dist", help="the folder; dist if not given")
    commands.add_parser("audit", help="look every locked package up in PyPI's list of vulnerabilities")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="pointledger-") as folder:
        tools = _environment(Path(folder) / "tools", "--require-hashes", "-r", str(TOOLS))
        if asked.command == "audit":
            return audit(tools)
        for path in write_sbom(tools, Path(folder), asked.into):
            print(path)
    return 0


def write_sbom(tools: Path, folder: Path, into: Path) -> list[Path]:
    """Install the wheel with every extra in the locked versions, and describe what was installed."""
    _uv("build", "--quiet", "--wheel", "--out-dir", str(folder / "wheel"), str(ROOT))
    (wheel,) = (folder / "wheel").glob("*.whl")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ",".join(project["optional-dependencies"])
    installed = _environment(folder / "installed", "--constraint", str(LOCK), f"{wheel}[{extras}]")
    into.mkdir(parents=True, exist_ok=True)
    name = f"{project['name']}-{project['version']}"
    sbom, licenses = into / f"{name}.cdx.json", into / f"{name}.licenses.md"
    generate = ["environment", "--output-reproducible", "--mc-type", "library"]
    described = ["--pyproject", str(ROOT / "pyproject.toml"), "-o", str(sbom), str(installed / "python")]
    _run(str(tools / "cyclonedx-py"), *generate, *described)
    licenses.write_text(license_list(json.loads(sbom.read_text())))
    return [sbom, licenses]


def license_list(sbom: Mapping[str, Any]) -> str:
    """Format a table of the components of an SBOM, by name."""
    rows = sorted((each["name"].lower(), each["version"], licenses_of(each)) for each in sbom["components"])
    head = "| package | version | license |\n| --- | --- | --- |\n"
    return head + "".join(f"| {name} | {version} | {license} |\n" for name, version, license in rows)


# What the tool does not find in a package's metadata, by the license file that the package has.
_ELSEWHERE = {"protobuf": "BSD-3-Clause"}


def licenses_of(component: Mapping[str, Any]) -> str:
    """Return the licenses of a component: its expression, or else all that it names."""
    found = ", ".join(dict.fromkeys(_licenses(component)))
    return found or _ELSEWHERE.get(component["name"], "unknown")


def _licenses(component: Mapping[str, Any]) -> Iterator[str]:
    for each in component.get("licenses", []):
        if "expression" in each:
            yield each["expression"]
            continue
        name = each["license"].get("id") or each["license"].get("name", "")
        yield " ".join(name.removeprefix("License :: OSI Approved :: ").split())


def audit(tools: Path) -> int:
    """Print what is known about the locked packages. Return the exit status."""
    command = [str(tools / "pip-audit"), "--requirement", str(LOCK), "--disable-pip", "--format", "json"]
    done = subprocess.run(
        [*command, "--progress-spinner", "off"], check=False, capture_output=True, text=True
    )
    found = json.loads(done.stdout)["dependencies"] if done.stdout.strip() else []
    looked_up = [package for package in found if "skip_reason" not in package]
    if not looked_up:
        reason = done.stderr.strip().rpartition("\n")[2]
        print(f"./dev: no package could be looked up: {reason}", file=sys.stderr)
        return UNREACHABLE
    for package in found:
        name = f"{package['name']} {package.get('version', '')}".strip()
        if "skip_reason" in package:
            print(f"{name}: {package['skip_reason']}")
        for each in package.get("vulns", []):
            fixed = ", ".join(each["fix_versions"]) or "none"
            print(f"{name}: {each['id']}, fixed in {fixed}")
    print(f"{len(looked_up)} of {len(found)} packages looked up")
    return VULNERABLE if any(package.get("vulns") for package in looked_up) else 0


def _environment(folder: Path, *packages: str) -> Path:
    """Make an environment, and return the folder of its programs."""
    programs = folder / "bin"
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    _uv("pip", "install", "--quiet", "--python", str(programs / "python"), *packages)
    return programs


def _uv(*arguments: str) -> None:
    _run(sys.executable, "-m", "uv", *arguments)


def _run(*command: str) -> None:
    """Run a program. If it fails, exit with what it says."""
    environ = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(command, check=False, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"./dev: {' '.join(command[:4])} failed: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
