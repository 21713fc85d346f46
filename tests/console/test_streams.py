"""A live page has one stream, which is bounded and ends with its session, its page and the server."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pointledger import Earn
from pointledger.api.console import streams
from pointledger.settings import Settings
from tests.console.browsing import Browsing, Html
from tests.console.environment import ConsoleEnvironment, open_console
from tests.waiting import wait_until

Browse = Callable[[str], Browsing]


def _pending(console: ConsoleEnvironment) -> str:
    console.ledger.tenant("shop")
    task_id = console.ledger.client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    return f"/console/shop/commands/{task_id}/stream"


def test_a_stream_says_when_the_outcome_is_there_and_then_ends(settings: Settings) -> None:
    with open_console(settings, worker=False) as console:
        path, browsing = _pending(console), Browsing(console)
        browsing.log_in("admin")
        with browsing.client.stream("GET", path) as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            lines = stream.iter_lines()
            waiting = list(iter(lambda: next(lines), ""))  # an empty line ends an event
            assert waiting[0] == "event: part" and "none waits before it" in Html("".join(waiting)).words
            console.ledger.drain()
            part, _, end = "\n".join(lines).partition("event: end\n")
        assert part.startswith("event: part\n") and "Applied" in Html(part).words
        assert end.strip() == "data: reload"


def test_a_stream_ends_with_its_session_and_the_server_does_not_wait_for_one(settings: Settings) -> None:
    with open_console(settings, worker=False) as console:
        path, browsing = _pending(console), Browsing(console)
        browsing.log_in("admin")
        other = Browsing(console)
        other.log_in("support")
        with other.client.stream("GET", path) as kept, browsing.client.stream("GET", path) as stream:
            assert next(kept.iter_lines()) == "event: part"
            lines = stream.iter_lines()
            assert next(lines) == "event: part"
            with httpx.Client(base_url=console.url, cookies=dict(browsing.client.cookies)) as tab:
                html = Browsing(console)
                html.client = tab
                html.send(html.html("/console/shop/members").form("/logout"))
            assert not [line for line in lines if line.startswith("event")]
    # The other stream was open when the console was stopped, which would otherwise take ten seconds.


def test_a_person_cannot_open_more_streams_than_are_watched(settings: Settings) -> None:
    with open_console(settings, worker=False) as console:
        path, browsing = _pending(console), Browsing(console)
        browsing.log_in("admin")
        opened: list[Any] = []
        try:
            for _ in range(streams.MOST_OF_SESSION):
                opened.append(browsing.client.stream("GET", path))
                assert opened[-1].__enter__().status_code == 200
            assert browsing.get(path).status_code == 429
        finally:
            for each in opened:
                each.__exit__(None, None, None)

        def answers() -> bool:
            with browsing.client.stream("GET", path) as stream:
                return stream.status_code == 200

        wait_until(answers, "a closed page gives its stream back")


@pytest.mark.parametrize(("person", "status"), [("marketing", 403), ("elsewhere", 404)])
def test_a_stream_has_the_rights_of_its_page(
    console: ConsoleEnvironment, browse: Browse, person: str, status: int
) -> None:
    assert browse(person).get("/console/shop/commands/x/stream").status_code == status
    assert httpx.get(f"{console.url}/console/shop/commands/x/stream").status_code == 401
