"""`python -m pointledger.cli`, where the script `pointledger` is not installed."""

from pointledger.cli.app import main

if __name__ == "__main__":
    main()
