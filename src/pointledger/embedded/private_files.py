"""Makes files and folders that other users of the host cannot read, even under a lax umask."""

import os
from pathlib import Path
from typing import IO

PRIVATE_UMASK = 0o077  # for child processes
_FILE, _FOLDER = 0o600, 0o700
_ENTERED = 0o711  # of a folder on the way: others may pass, but neither list nor write


def make_private_folder(folder: Path) -> Path:
    """Create the folder if it is missing. Close it to others even if it is there."""
    create_private_folder(folder)
    folder.chmod(_FOLDER)
    return folder


def create_private_folder(folder: Path) -> None:
    """Create the folder, closed to others, unless it is there.

    Others may pass the parents that it creates, because the servers run as another user below them.
    """
    for parent in reversed(folder.parents):
        if not parent.exists():
            parent.mkdir(mode=_ENTERED, exist_ok=True)
    folder.mkdir(mode=_FOLDER, exist_ok=True)


def open_private(path: Path, flags: int) -> IO[bytes]:
    """Create or open a file for writing. A file of an older version is closed to others, too.

    `flags` are those of `os.open`, like `os.O_APPEND` or `os.O_TRUNC`.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, _FILE)
    try:
        os.fchmod(descriptor, _FILE)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "wb")


def write_private(path: Path, content: bytes) -> None:
    """Write a file atomically. Other users can never read it, not even while it is written."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with open_private(draft, os.O_EXCL) as file:
        file.write(content)
    draft.rename(path)
