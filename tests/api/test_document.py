"""The OpenAPI document is rendered when it is first asked for, and once."""

import asyncio
import threading

from pointledger.api.routes.openapi import RenderedOnce
from tests.api.environment import ApiEnvironment
from tests.api.openapi import DOCUMENT


def test_the_document_is_the_same_for_all_who_ask(api: ApiEnvironment) -> None:
    assert [api.client.get("/openapi.json").json() for _ in range(2)] == [DOCUMENT] * 2


def test_all_who_ask_wait_for_one_rendering_and_who_leaves_does_not_end_it() -> None:
    rendered, begun, may_end = list[bytes](), threading.Event(), threading.Event()

    def render() -> bytes:
        begun.set()
        assert may_end.wait(60)
        rendered.append(b"{}")
        return rendered[-1]

    async def ask() -> None:
        document = RenderedOnce(render)
        leaves, *stay = [asyncio.ensure_future(document.get()) for _ in range(3)]
        await asyncio.to_thread(begun.wait, 60)
        leaves.cancel()
        may_end.set()
        assert [each.plain for each in await asyncio.gather(*stay)] == [b"{}", b"{}"]

    asyncio.run(ask())
    assert rendered == [b"{}"]
