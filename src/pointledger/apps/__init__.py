"""The two Celery apps: `pointledger.apps.workers` and `pointledger.apps.schedules`.

Their folders stand at the top of the repository, and the build puts them here. Beside the package, their
names could collide with those of other programs. In a checkout, this package finds them at the top.
"""

from pathlib import Path

if not (Path(__file__).parent / "workers").is_dir():
    __path__.append(str(Path(__file__).parents[3]))
