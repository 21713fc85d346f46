"""Beat knows when; what is asked for, the workers know."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pointledger.messaging import contract
from pointledger.settings import Settings

ROOT = Path(__file__).parents[2]

ASK = """
import json
from schedules.celery import app
from workers.celery import app as workers
workers.loader.import_default_modules()
print(json.dumps({
    "asked": {name: entry["task"] for name, entry in app.conf.beat_schedule.items()},
    "queues": sorted({entry["options"]["queue"] for entry in app.conf.beat_schedule.values()}),
    "known": sorted(task for task in workers.tasks if task.startswith("points.")),
    "listened": sorted(queue.name for queue in workers.conf.task_queues),
}))
"""


def test_everything_that_beat_asks_for_is_a_task_of_the_workers(settings: Settings) -> None:
    given = {"POINTLEDGER_DATABASE_URL": settings.database, "POINTLEDGER_REDIS_URL": settings.redis}
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    told = subprocess.run(
        [sys.executable, "-c", ASK], check=True, capture_output=True, env=os.environ | given | path
    )
    found = json.loads(told.stdout)
    assert found["asked"] == {
        "ring-waiting-lanes": contract.RING_TASK,
        "expire-points": contract.EXPIRE_POINTS_TASK,
        "activate-points": contract.ACTIVATE_POINTS_TASK,
        "reset-daily-limits": contract.RESET_LIMITS_TASK,
        "finish-erasures": contract.FINISH_ERASURES_TASK,
        "release-holds-due": contract.RELEASE_HOLDS_TASK,
        "tell-expiring": contract.TELL_EXPIRING_TASK,
    }
    assert set(found["asked"].values()) <= set(found["known"])
    assert set(found["queues"]) <= set(found["listened"])
