"""Runs real Postgres and Valkey servers without an installation, for development and tests.

Production programs take URLs and never import this package.

    binaries   finds the servers' programs
    paths      makes folders and programs reachable for the user that the servers run as
    processes  starts a program so that it ends when its supervisor ends
    postgres   runs one Postgres in one folder
    valkey     runs one Valkey in one folder
    servers    runs both; several processes share one pair
"""

from pointledger.embedded.servers import EmbeddedServers, ServerUrls

__all__ = ["EmbeddedServers", "ServerUrls"]
