"""The workers' Celery app, in a process that writes when it passes each failpoint.

`celery -A tests.bench.recorded worker`, with the folder in `POINTLEDGER_BENCH_STEPS`.
"""

import atexit
import os
from pathlib import Path

from tests.bench.passages import FOLDER_VARIABLE, Passages
from workers.celery import app

__all__ = ["app"]

_passages = Passages()
_passages.record()
atexit.register(lambda: _passages.write(Path(os.environ[FOLDER_VARIABLE], f"{os.getpid()}.steps")))
