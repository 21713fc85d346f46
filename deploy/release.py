"""Creates the commit, the tag and the packages of a version; the caller pushes them. `./dev release` runs it.

After a failure, `git restore .` undoes its changes.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO = Path("src", "pointledger_demo")  # the other distribution
TYPESCRIPT = Path("clients", "typescript")  # npm's package, which has the same version
VERSION = re.compile(r"\d+\.\d+\.\d+")
NEEDED = {
    "pointledger": (
        "pointledger/__init__.py",
        "pointledger/py.typed",  # the package is typed
        "pointledger/apps/workers/celery.py",
        "pointledger/apps/schedules/celery.py",
    ),
    "pointledger_demo": ("pointledger_demo/run.py", "pointledger_demo/baskets-2017-q1.jsonl.gz"),
}
_USAGE_STATUS = 2


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    if len(arguments) != 1 or not VERSION.fullmatch(arguments[0]):
        print("./dev: release needs a version, like 0.2.0", file=sys.stderr)
        return _USAGE_STATUS
    release(ROOT, arguments[0], check=[sys.executable, str(ROOT / "dev"), "check", "--long"])
    return 0


def release(root: Path, version: str, check: list[str]) -> None:
    """Release a version of the repository at `root` if the command `check` succeeds. SystemExit says why."""
    if _output_of(root, "git", "status", "--porcelain"):
        raise SystemExit("./dev: some changes are not committed; commit or stash them before a release")
    if _output_of(root, "git", "tag", "--list", f"v{version}"):
        raise SystemExit(f"./dev: v{version} exists already")
    _set_version(root, version)
    _step(root, sys.executable, "-m", "towncrier", "build", "--yes", "--version", version)
    shutil.rmtree(root / "dist", ignore_errors=True)
    for project in (".", str(DEMO)):
        _step(root, sys.executable, "-m", "uv", "build", "--quiet", "--out-dir", "dist", project)
    if found := wrong_contents(root / "dist", version):
        raise SystemExit(f"./dev: the packages have wrong contents: {', '.join(found)}")
    _step(root, sys.executable, "-m", "deploy.supply_chain", "sbom")
    _step(root, *check)
    _step(root, "git", "add", "--all", ".")
    _step(root, "git", "commit", "--quiet", "--message", f"Release {version}")
    _step(root, "git", "tag", "--annotate", "--message", f"Release {version}", f"v{version}")
    print(f"v{version} is tagged, and its packages are in dist")


def wrong_contents(dist: Path, version: str) -> list[str]:
    """List files that the packages should not contain, and files that they lack."""
    wheels = {name: dist / f"{name}-{version}-py3-none-any.whl" for name in NEEDED}
    sources = [dist / f"{name}-{version}.tar.gz" for name in NEEDED]
    if missing := [path.name for path in (*wheels.values(), *sources) if not path.exists()]:
        return [f"{name} is missing" for name in missing]
    found = []
    for package, wheel in wheels.items():
        with zipfile.ZipFile(wheel) as opened:
            names = opened.namelist()
        expected = (f"{package}/", f"{package}-{version}.dist-info/")
        found += [f"{name} is in {package}'s wheel" for name in names if not name.startswith(expected)]
        found += [f"{name} is not in {package}'s wheel" for name in NEEDED[package] if name not in names]
    return found


def _set_version(root: Path, version: str) -> None:
    """Set the version of the distributions and drop the changelog's heading of unreleased changes."""
    changelog = root / "CHANGELOG.md"
    for project in (root / "pyproject.toml", root / DEMO / "pyproject.toml"):
        text = re.sub(r'^version = ".*"$', f'version = "{version}"', project.read_text(), count=1, flags=re.M)
        text = re.sub(r'"(pointledger\[.*\])==.*?"', rf'"\1=={version}"', text)
        project.write_text(text)
    for file in (root / TYPESCRIPT / "package.json", root / TYPESCRIPT / "package-lock.json"):
        text = re.sub(r'("name": "pointledger",\s+"version": )".*"', rf'\1"{version}"', file.read_text())
        file.write_text(text)
    changelog.write_text(changelog.read_text().replace("\n## [Unreleased]\n", ""))


def _output_of(root: Path, *command: str) -> str:
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def _step(root: Path, *command: str) -> None:
    """Run a command, or exit if it fails."""
    if subprocess.run(command, cwd=root, check=False).returncode:
        raise SystemExit(f"./dev: {Path(command[0]).name} failed, see above")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
