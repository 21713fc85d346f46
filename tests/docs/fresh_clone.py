"""Provides a fresh copy of the repository, in which tests run the commands of the docs."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests import environments
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
_SECONDS = 120
_STOP_SECONDS = 30


class FreshClone:
    """A copy of the repository in a new folder. Processes there get only the given variables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pointledger"
        self._programs = folder / "programs"
        self._running: list[subprocess.Popen[str]] = []
        _copy_repository(self.folder)
        self._programs.mkdir()
        (self._programs / "uv").symlink_to(Path(sys.executable).with_name("uv"))

    def environment(self, **given: str) -> dict[str, str]:
        """Return the variables of a process: the clone's programs on the PATH, and the given ones."""
        path = os.pathsep.join([str(self.folder / ".venv" / "bin"), str(self._programs), os.environ["PATH"]])
        registries = environments.registry_environ()
        return {**environments.clean_environ(), **registries, "PATH": path, "C_FORCE_ROOT": "1", **given}

    @staticmethod
    def script(program: Path | str, text: str, *arguments: str, folder: Path, **given: str) -> str:
        """Run a program that reads the text as its script, in a clean environment. Return its output."""
        return run_program([str(program), *arguments, "-"], folder, environments.clean_environ(**given), text)

    def start(self, text: str, **given: str) -> subprocess.Popen[str]:
        """Start a shell command that runs until `stop`. Its output goes to a file."""
        with (self.folder.parent / f"output-{len(self._running)}").open("w") as output:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", f"exec {text}"],
                cwd=self.folder,
                env=self.environment(**given),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def output(self, process: subprocess.Popen[str]) -> str:
        return (self.folder.parent / f"output-{self._running.index(process)}").read_text()

    def wait_for(self, process: subprocess.Popen[str], text: str, seconds: float = 300.0) -> str:
        """Wait until the process has printed the text. Return its whole output."""

        def printed() -> bool:
            assert process.poll() is None, self.output(process)
            return text in self.output(process)

        wait_until(printed, f"{text!r} is printed", seconds)
        return self.output(process)

    def stop(self) -> None:
        """Stop the started processes, the last first."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def run_program(command: list[str], folder: Path, env: Mapping[str, str], stdin: str = "") -> str:
    """Run a program until it ends, and return its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        input=stdin,
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def _copy_repository(into: Path) -> None:
    """Copy the files that a clone has once the working copy is committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
