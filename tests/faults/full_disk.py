"""A small disk of a Postgres, which can be full: a tablespace on a file system in memory.

Mounting it takes a right, which root has outside of most containers.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.surroundings import World

_MEGABYTES = 16


class Disk:
    """A tablespace of the world's database."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._filler = folder / "filler"

    def take(self, table: str) -> None:
        """Move a table to this disk."""
        self._world.sql(f"ALTER TABLE {table} SET TABLESPACE small")

    def give_back(self, table: str) -> None:
        self._world.sql(f"ALTER TABLE {table} SET TABLESPACE pg_default")

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no byte free in the block."""
        with self._filler.open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError as error:
                assert error.strerror == "No space left on device"
        yield
        self._filler.unlink()


@contextmanager
def small_disk(world: World) -> Iterator[Disk]:
    """Mount the disk until the block ends."""
    folder = world.servers.home / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_MEGABYTES}m", "tmpfs", folder], check=True)
    try:
        data = folder / "data"
        data.mkdir()
        owner = (world.servers.home / "postgres").stat()
        os.chown(data, owner.st_uid, owner.st_gid)
        world.sql(f"CREATE TABLESPACE small LOCATION '{data}'")
        yield Disk(world, folder)
        world.sql("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
