"""Runs `./dev run`, which is `pointledger demo`."""

import typer

from pointledger.cli.operations.demo import demo


def main() -> None:
    """Run the program."""
    typer.run(demo)


if __name__ == "__main__":
    main()
