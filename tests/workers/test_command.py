"""`pointledger worker` and `pointledger beat`, as an operator starts them: in any folder."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pointledger import Earn
from pointledger.messaging.contract import LANES_QUEUE, PERIODIC_QUEUE
from pointledger.settings import Settings
from tests.client.programs import servers
from tests.environments import clean_environ
from tests.ledger import Ledger
from tests.waiting import wait_until

_SECONDS = 60.0  # far more than a start takes
_PREFIX = "POINTLEDGER_REDIS_PREFIX"
UNSAFE = {"POINTLEDGER_ALLOW_UNSAFE": '["postgres-durability"]'}  # as the tests' Postgres is


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pointledger.cli", *words]


@contextmanager
def _started(folder: Path, environ: dict[str, str], *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command in an empty folder; its stderr goes to `log` there."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            _command(*words), cwd=folder, env=clean_environ(**environ, **UNSAFE), stderr=log, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def own(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings) as opened:
        opened.tenant()
        yield opened


def test_a_worker_receives_the_queues_that_it_was_told_and_ends_in_order(own: Ledger, tmp_path: Path) -> None:
    prefix = own.settings.redis_prefix
    own.redis.lpush(f"{prefix}:{PERIODIC_QUEUE}", "a message that it would drop")
    own.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=5))
    assert own.redis.llen(f"{prefix}:{LANES_QUEUE}") == 1, "its doorbell waits"
    environ = servers(own.settings) | {_PREFIX: prefix}

    with _started(tmp_path, environ, "worker", "--queue", "lanes", "--log-level", "warning") as worker:
        wait_until(lambda: own.counts("pending") == [0] or worker.poll() is not None, "applied", _SECONDS)
        wait_until(lambda: own.redis.llen(f"{prefix}:{LANES_QUEUE}") == 0, "the doorbell is taken")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(_SECONDS) == 0

    assert own.redis.llen(f"{prefix}:{PERIODIC_QUEUE}") == 1, "the other queue is not its own"
    told = (tmp_path / "log").read_text()
    assert "A worker receives from lanes" in told
    assert '"level": "info"' not in told, "less is not logged"
    assert "superuser" not in told


def test_beat_needs_the_broker_and_no_database(settings: Settings, tmp_path: Path) -> None:
    with Ledger(settings) as ledger:
        queue = f"{settings.redis_prefix}:{PERIODIC_QUEUE}"
        environ = {"POINTLEDGER_BROKER_URL": settings.broker, _PREFIX: settings.redis_prefix}
        with _started(tmp_path, environ, "beat") as beat:
            wait_until(lambda: ledger.redis.llen(queue) > 0, "beat has sent a task", _SECONDS)
            beat.send_signal(signal.SIGTERM)
            assert beat.wait(_SECONDS) == 0
    assert not (tmp_path / ".data").exists(), "it starts no server of its own"


@pytest.mark.parametrize(
    ("words", "environ", "told", "status"),
    [
        (("worker", "--queue", "bulk"), {}, "'lanes'", 2),
        (("worker", "--concurrency", "4"), {}, "--concurrency", 2),
        (("beat", "--log-level", "loud"), {}, "'warning'", 2),
        (("worker",), {"POINTLEDGER_REDIS_URL": "http://here"}, "POINTLEDGER_REDIS_URL", 1),
        (("worker",), {"POINTLEDGER_DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "POINTLEDGER_REDIS_URL", 1),
        (("beat",), {"POINTLEDGER_LANES": "none"}, "POINTLEDGER_...", 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_mistake_gets_a_message_that_names_it(
    words: tuple[str, ...], environ: dict[str, str], told: str, status: int, tmp_path: Path
) -> None:
    ended = subprocess.run(
        _command(*words),
        cwd=tmp_path,
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert ended.returncode == status
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
