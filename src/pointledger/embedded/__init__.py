"""Owns real Postgres and Valkey servers that need no installation: for development and tests.

In production the program takes URLs and this package is never imported.

    binaries   finds the servers' programs; replace it to bring your own
    children   starts a program so that it ends when its supervisor ends
    postgres   one Postgres in one folder
    valkey     one Valkey in one folder
    servers    both together; several processes share one pair
"""

from pointledger.embedded.servers import EmbeddedServers, ServerUrls

__all__ = ["EmbeddedServers", "ServerUrls"]
