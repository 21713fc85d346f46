"""Runs the command line as `python -m pointledger.cli`, if the script `pointledger` is not installed."""

from pointledger.cli.app import main

if __name__ == "__main__":
    main()
