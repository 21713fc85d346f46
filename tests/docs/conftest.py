"""The command line and a worker, as the readme's reader has them."""

from tests.cli.conftest import environment, ledger, run, working

__all__ = ["environment", "ledger", "run", "working"]
