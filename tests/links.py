"""Leads a client to its server over a link that a test can cut, slow down and refuse."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import make_url

from tests.chaos.proxy import Link, Proxy


@contextmanager
def link_to(url: str) -> Iterator[Link]:
    """Open a link to the server of a URL, on a port of its own."""
    port = make_url(url).port
    assert port
    proxy = Proxy()
    try:
        yield Link(proxy, "the tested link", port)
    finally:
        proxy.stop()


def through(url: str, link: Link) -> str:
    """Return the server's URL over its link."""
    return make_url(url).set(host="127.0.0.1", port=link.port).render_as_string(hide_password=False)
