"""The links do what is asked of them, and nothing to each other."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.proxy import Link, Proxy


def test_a_silent_link_that_is_opened_again_is_silent_still_and_holds_up_no_other() -> None:
    proxy = Proxy()
    with socket.create_server(("127.0.0.1", 0)) as server:
        link, other = (Link(proxy, name, server.getsockname()[1]) for name in ("silent", "other"))
        link.silence("there", "back")
        link.refuse(True)
        link.refuse(False)
        with through(link, server) as (caller, called):
            caller.sendall(b"hello")
            with through(other, server) as (neighbour, reached):
                neighbour.sendall(b"through")
                assert reached.recv(7) == b"through"
            link.silence()
            assert called.recv(5) == b"hello"
    proxy.stop()


@contextmanager
def through(link: Link, server: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection through the link: its two ends, which wait for a minute at most."""
    with (
        socket.create_connection(("127.0.0.1", link.port), timeout=60) as caller,
        server.accept()[0] as called,
    ):
        called.settimeout(60)
        yield caller, called
