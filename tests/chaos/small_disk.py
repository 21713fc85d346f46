"""A disk that can be full: a file system in memory whose size changes while it is in use.

Mounting needs CAP_SYS_ADMIN, which root has outside of most containers. The file system is in a mount
namespace of this process, so the kernel removes it with the last process of the run.
"""

import ctypes
import os
import subprocess
from pathlib import Path

_CAP_SYS_ADMIN = 21  # <linux/capability.h>
_CLONE_NEWNS = 0x00020000  # <sched.h>: a mount namespace of its own
_ROOMY = "4g"  # only written pages take memory, and ten minutes write less than one gigabyte
_PAGE_BYTES = 4096
_TRIES = 20  # the content grows while its size is read


def may_mount() -> bool:
    """Whether this process has the right to mount."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        return False
    effective = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_SYS_ADMIN & 1)


class SmallDisk:
    """A file system with room for everything, until `fill` takes the room. Only the main thread sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self) -> None:
        status = ctypes.CDLL(None).unshare(_CLONE_NEWNS)
        assert status == 0, "may_mount()"
        self.folder.mkdir(mode=0o700)
        for words in (
            ["--make-rprivate", "/"],
            ["-t", "tmpfs", "-o", f"size={_ROOMY}", "chaos", self.folder],
        ):
            assert _is_done("mount", *words), words

    def unmount(self, *, keep: bool) -> None:
        """Unmount it. `keep`: leave a copy of its content on the disk below, with its owner."""
        copy = self.folder.with_name(f"{self.folder.name}.copy")
        if keep:
            _is_done("cp", "--archive", self.folder, copy)
        _is_done("umount", "--lazy", self.folder)
        if keep:
            self.folder.rmdir()
            copy.rename(self.folder)

    def move(self, *tables: str) -> list[str]:
        """Return the statements that move tables to this disk."""
        return [
            f"CREATE TABLESPACE small LOCATION '{self.folder}'",
            *(f"ALTER TABLE {table} SET TABLESPACE small" for table in tables),
        ]

    def fill(self) -> bool:
        """Leave no room, so that every file that grows meets ENOSPC. Return whether that worked."""
        for _ in range(_TRIES):
            stat = os.statvfs(self.folder)
            used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
            if self._resize(f"{used + _PAGE_BYTES}"):
                return True
        return False

    def heal(self) -> None:
        """Make room again."""
        assert self._resize(_ROOMY), "a file system can grow"

    def _resize(self, size: str) -> bool:
        return _is_done("mount", "-o", f"remount,size={size}", self.folder)


def _is_done(*command: str | Path) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
