"""Writes the pages of docs/reference, or checks that they are what the code says.

    python -m docs.generate            write the pages; those that no longer exist are removed
    python -m docs.generate --check    change nothing; exit status 1 and the names of the pages that differ

The page about the database needs one: a Postgres is started for it from wheels, for some seconds.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from docs.generate.pages import REFERENCE, all_pages

RUN = "run ./dev docs --write"


def main(arguments: list[str]) -> int:
    """The exit status: 1 where a page differs and nothing was to be written."""
    asked = _parser().parse_args(arguments)
    made = all_pages()
    differing = differences(made, REFERENCE)
    if asked.check:
        for name in differing:
            print(f"docs/reference/{name} is not what the code says: {RUN}", file=sys.stderr)
        return 1 if differing else 0
    for name in differing:
        write(REFERENCE / name, made.get(name))
        print(f"docs/reference/{name}: {'written' if name in made else 'removed'}")
    return 0


def differences(made: Mapping[str, str], folder: Path) -> list[str]:
    """The names of files that are missing, differ, or are there and not made."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    changed = {name for name, text in made.items() if name not in there or _text(folder / name) != text}
    return sorted(changed | (there - made.keys()))


def write(path: Path, text: str | None) -> None:
    """Writes a page; None removes it."""
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def _text(path: Path) -> str:
    return path.read_bytes().decode()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m docs.generate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
