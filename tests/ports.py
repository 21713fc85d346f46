"""Chooses ports for servers that cannot choose one themselves, or must come back on the same one."""

import random
import socket
from contextlib import suppress

# Below the ports that Linux gives to outgoing connections: one of them could take a port before its server.
_CHOICE = range(10_000, 32_768)
_TRIES = 100


def free_port() -> int:
    """Return a port on which nothing listens. Test processes draw at random, so hardly ever the same one."""
    for port in random.SystemRandom().choices(_CHOICE, k=_TRIES):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"none of {_TRIES} ports is free")
