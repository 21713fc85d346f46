"""Asks the HTTP API, with the caller's token."""

import re
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx2
from mcp.server.mcpserver.exceptions import ToolError

from pointledger.errors import SettingsInvalid
from pointledger.settings import Settings

_SECONDS = 40.0  # above `POINTLEDGER_HTTP_QUERY_SECONDS`, which is 30 at most
_CONNECT_SECONDS = 5.0
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # RFC 6750
Parameter = str | int | None


class Api:
    """An HTTP API and a token. It sends GET and nothing else, and follows no redirect with the token."""

    def __init__(self, settings: Settings, url: str | None = None) -> None:
        """Check the settings; `url` replaces theirs. Raises SettingsInvalid."""
        base = url or settings.url
        if not base or not base.startswith(("http://", "https://")):
            raise SettingsInvalid("POINTLEDGER_URL: needed, like http://127.0.0.1:8000")
        self._token = _Token(settings)
        timeout = httpx2.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
        try:
            self._client = httpx2.AsyncClient(base_url=base, timeout=timeout)
        except httpx2.InvalidURL as error:
            raise SettingsInvalid(f"POINTLEDGER_URL: {error}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, *segments: str, **query: Parameter) -> dict[str, Any]:
        """Return the API's answer: the whole object. Raises ToolError with the API's own words.

        `segments` are those of the path, unencoded. A query parameter that is None is left out.
        """
        path = "".join(f"/{_encoded(segment)}" for segment in segments)
        given = {name: value for name, value in query.items() if value is not None}
        try:
            answer = await self._client.get(path, params=given, headers=self._token.header())
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise ToolError(f"the HTTP API does not answer: {type(error).__name__}") from None
        found = _object_in(answer)
        if not answer.is_success:
            raise ToolError(_in_words(answer.status_code, found))
        return found


class _Token:
    """The caller's token. A file is read for each request, because tokens end and others take their place."""

    def __init__(self, settings: Settings) -> None:
        if (settings.token is None) == (settings.token_file is None):
            raise SettingsInvalid("POINTLEDGER_TOKEN or POINTLEDGER_TOKEN_FILE: set one of them")
        self._given, self._file = settings.token, settings.token_file

    def header(self) -> Mapping[str, str]:
        """Return the header with the token. Raises ToolError."""
        token = self._text().strip()
        if not _TOKEN.fullmatch(token):
            raise ToolError("POINTLEDGER_TOKEN: empty, or with characters that no token has")
        return {"Authorization": f"Bearer {token}"}

    def _text(self) -> str:
        if self._given is not None:
            return self._given.get_secret_value()
        assert self._file is not None, "one of both is set"
        try:
            return self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ToolError(f"POINTLEDGER_TOKEN_FILE: {type(error).__name__}") from None


def _encoded(segment: str) -> str:
    """Encode a segment. Dots alone would mean another path."""
    return quote(segment, safe="") if segment.strip(".") else segment.replace(".", "%2E")


def _object_in(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ToolError(f"{answer.status_code}: this is no answer of the HTTP API; check POINTLEDGER_URL")
    return found


def _in_words(status: int, problem: Mapping[str, Any]) -> str:
    """Return the status, the reason of a refusal, and the API's message."""
    reason = f" {problem['reason']}" if "reason" in problem else ""
    return f"{status}{reason}: {problem.get('message', '')}"
