"""Beat's timetable matches the workers' tasks."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pointledger.messaging import contract
from pointledger.settings import Settings

ROOT = Path(__file__).parents[2]

SCRIPT = """
import json
from schedules.celery import app
from workers.celery import app as workers
workers.loader.import_default_modules()
for entry in app.conf.beat_schedule.values():
    workers.tasks[entry["task"]]()  # as a worker does, on an empty ledger
print(json.dumps({
    "sent": {name: entry["task"] for name, entry in app.conf.beat_schedule.items()},
    "queues": sorted({entry["options"]["queue"] for entry in app.conf.beat_schedule.values()}),
    "known": sorted(task for task in workers.tasks if task.startswith("points.")),
    "read": sorted(queue.name for queue in workers.conf.task_queues),
}))
"""


def test_each_task_that_beat_sends_is_known_to_the_workers_and_runs(settings: Settings) -> None:
    given = {"POINTLEDGER_DATABASE_URL": settings.database, "POINTLEDGER_REDIS_URL": settings.redis}
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, env=os.environ | given | path
    )
    found = json.loads(ran.stdout)
    assert found["sent"] == {
        "ring-waiting-lanes": contract.RING_TASK,
        "expire-points": contract.EXPIRE_POINTS_TASK,
        "activate-points": contract.ACTIVATE_POINTS_TASK,
        "reset-daily-limits": contract.RESET_LIMITS_TASK,
        "finish-erasures": contract.FINISH_ERASURES_TASK,
        "release-holds-due": contract.RELEASE_HOLDS_TASK,
        "sum-up-days": contract.SUM_UP_DAYS_TASK,
        "verify": contract.VERIFY_TASK,
        "send-expiry-reminders": contract.SEND_EXPIRY_REMINDERS_TASK,
    }
    assert set(found["sent"].values()) <= set(found["known"])
    assert set(found["queues"]) <= set(found["read"])
