"""A process finds out without Alembic whether its database is migrated."""

import subprocess
import sys
from importlib.resources import files

from alembic.config import Config
from alembic.script import ScriptDirectory

from pointledger.storage.revision import newest
from tests.environments import ROOT, clean_environ


def test_the_newest_revision_is_the_head_of_alembics_chain() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("pointledger.storage") / "migrations"))
    assert newest() == ScriptDirectory.from_config(config).get_current_head()


def test_producers_and_workers_and_the_command_line_do_not_import_alembic() -> None:
    program = "import sys, pointledger.client.connections, workers.tasks; from pointledger.cli import table; "
    program += "[table.imported(entry.name) for _, entry in table.entries()]; print('alembic' in sys.modules)"
    urls = {
        "POINTLEDGER_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "POINTLEDGER_REDIS_URL": "redis://127.0.0.1:1/0",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=clean_environ(**urls),
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
