"""The demonstration: runs the whole system on one machine and replays real baskets.

`./dev run` and `pointledger demo` start it. It is a distribution of its own, `pointledger-demo`, which
`pyproject.toml` beside this file builds.
"""
