"""A release is a commit, a tag, and two wheels with what they must have. The npm package has its version."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.release import DEMO, NEEDED, TYPESCRIPT, main, release, wrong_contents

ROOT = Path(__file__).parents[2]


def git(folder: Path, *words: str) -> str:
    """Run git, and return what it prints."""
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize("arguments", [[], ["next"]])
def test_a_release_says_what_it_takes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "0.2.0" in capsys.readouterr().err


def test_a_release_passes_the_whole_check(monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[tuple[Path, str, list[str]]] = []
    monkeypatch.setattr("deploy.release.release", lambda *words, check: released.append((*words, check)))
    assert main(["97.0.1"]) == 0
    assert released == [(ROOT, "97.0.1", [sys.executable, str(ROOT / "dev"), "check", "--long"])]


@pytest.fixture
def clone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository with what a release needs of ours, committed."""
    root = tmp_path / "clone"
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "changelog.d",
        "clients",
        "requirements.lock",
        "deploy",
        "src",
        "workers",
        "schedules",
        ".gitignore",
    ):
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "node_modules")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy2(source, target)
    for name in ("author", "committer"):
        monkeypatch.setenv(f"GIT_{name.upper()}_NAME", "a maintainer")
        monkeypatch.setenv(f"GIT_{name.upper()}_EMAIL", "maintainer@example.org")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        git(root, *words)
    return root


@pytest.mark.long
def test_a_release_is_a_commit_and_a_tag_with_the_packages_beside(clone: Path) -> None:
    release(clone, "97.0.1", check=["touch", "dist/checked"])

    assert (clone / "dist" / "checked").exists()
    assert git(clone, "describe") == "v97.0.1"
    assert git(clone, "status", "--porcelain") == ""
    changelog = (clone / "CHANGELOG.md").read_text()
    assert "## [97.0.1]" in changelog
    assert "[Unreleased]" not in changelog
    assert [path.name for path in (clone / "changelog.d").iterdir()] == ["README.md"]
    released = {
        path.name.removeprefix("pointledger-97.0.1") for path in (clone / "dist").glob("pointledger-*")
    }
    assert released == {"-py3-none-any.whl", ".tar.gz", ".cdx.json", ".licenses.md"}
    assert len(list((clone / "dist").glob("pointledger_demo-97.0.1*"))) == 2
    assert "pointledger[console,embedded]==97.0.1" in (clone / DEMO / "pyproject.toml").read_text()
    npm = [json.loads((clone / TYPESCRIPT / f"package{it}.json").read_text()) for it in ("", "-lock")]
    assert [it["version"] for it in (*npm, npm[1]["packages"][""])] == ["97.0.1"] * 3


def test_what_is_not_committed_is_not_released(clone: Path) -> None:
    (clone / "src" / "new.py").touch()

    with pytest.raises(SystemExit, match="not committed"):
        release(clone, "97.0.1", check=["true"])


def test_a_version_is_released_once(clone: Path) -> None:
    git(clone, "tag", "v97.0.1")

    with pytest.raises(SystemExit, match="exists already"):
        release(clone, "97.0.1", check=["true"])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"pointledger/py.typed": None}, ["pointledger/py.typed is not in pointledger's wheel"]),
        (
            {"pointledger/apps/workers/celery.py": None},
            ["pointledger/apps/workers/celery.py is not in pointledger's wheel"],
        ),
        (
            {"pointledger_demo/run.py": "pointledger"},
            [
                "pointledger_demo/run.py is in pointledger's wheel",
                "pointledger_demo/run.py is not in pointledger_demo's wheel",
            ],
        ),
    ],
)
def test_the_wheels_have_what_they_must_and_nothing_else(
    change: dict[str, str | None], found: list[str], tmp_path: Path
) -> None:
    """`change` moves a file into another wheel, or into none."""
    homes = {name: package for package, names in NEEDED.items() for name in names}
    for package in NEEDED:
        (tmp_path / f"{package}-1.2.3.tar.gz").touch()
        with zipfile.ZipFile(tmp_path / f"{package}-1.2.3-py3-none-any.whl", "w") as wheel:
            for name, home in {**homes, **change}.items():
                if home == package:
                    wheel.writestr(name, "")

    assert wrong_contents(tmp_path, "1.2.3") == found
