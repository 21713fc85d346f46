"""A full disk for logs ends no process."""

from pathlib import Path

import pytest

from tests.faults.spoiled_redis import without_replicas
from tests.faults.surroundings import world


@pytest.mark.long
def test_no_process_needs_room_for_its_log(tmp_path: Path) -> None:
    with world(tmp_path, logs_are_full=True) as opened:
        with without_replicas(opened):  # everything has something to log
            task_id = opened.enqueue()
            opened.post()
        opened.require_work(task_id)
