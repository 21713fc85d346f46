"""Reads Postgres URLs with libpq's own parser, so that a URL means the same here as in psql.

psycopg, like libpq, completes a URL with the variables `PG...`, a service file and a password file.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pointledger.errors import NotConfigured

_CONNECT_TIMEOUT_SECONDS = 4

# Only the kernel can detect a server that vanishes silently. It probes after 10 s of silence, three times,
# and gives up on unacknowledged data after 25 s. The defaults would take two hours.
_MISSING = {
    "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

APPLICATION_NAME = "pointledger"

# psycopg tries several hosts itself, each within the time limit. It sees those of the URL, not a service's.
_OF_PSYCOPG = ("host", "hostaddr", "port", "connect_timeout", "target_session_attrs", "load_balance_hosts")

_SCHEME = re.compile(r"^postgres(ql)?(\+\w+)?://")  # SQLAlchemy's URLs name a driver after a plus sign
_UNESCAPED = re.compile(r"%(?![0-9A-Fa-f]{2})|\s")  # in a password; libpq refuses what SQLAlchemy accepts
_LIKE = "must look like postgresql://user:password@host:5432/database"
_PORT_MOST = 65_535

Parameters = dict[str, str | int]


def connection_parameters(url: str, setting: str) -> Parameters:
    """Return libpq's parameters of the URL, and the ledger's own for what it leaves open.

    Raises NotConfigured, which names the setting and never shows a password.
    """
    given = parse(url, setting)
    complete = _complete(given, setting)
    missing = {name: value for name, value in _MISSING.items() if name not in complete}
    if complete.get("keepalives") == "0":
        missing = {name: value for name, value in missing.items() if not name.startswith("keepalives")}
    found: Parameters = {**given, **missing, "fallback_application_name": APPLICATION_NAME}
    if "service" in complete:
        found |= {name: complete[name] for name in _OF_PSYCOPG if name in complete}
    # Texts travel as UTF-8, also if the login has another default: other encodings lack characters.
    return found | {"client_encoding": "UTF8"}


def parse(url: str, setting: str) -> dict[str, str]:
    """Return what the URL itself says, in libpq's terms. Raises NotConfigured."""
    if not _SCHEME.match(url):
        raise NotConfigured(f"{setting} {_LIKE}")
    text = _UNESCAPED.sub(lambda found: quote(found[0]), _SCHEME.sub("postgresql://", url))
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except (psycopg.ProgrammingError, UnicodeEncodeError) as error:
        if unknown := _unknown_parameter(text):
            raise NotConfigured(f"{setting}: libpq knows no parameter {unknown!r}") from error
        raise NotConfigured(f"{setting} {_LIKE}") from None  # its message may show a part of the password
    for port in filter(None, found.get("port", "").split(",")):
        if not port.isdigit() or not 0 < int(port) <= _PORT_MOST:
            hint = "write / : @ % and ? in a user name or password as %2F %3A %40 %25 and %3F"
            raise NotConfigured(f"{setting} {_LIKE}, with a port from 1 to {_PORT_MOST}; {hint}")
    return found


def effective(url: str, setting: str) -> dict[str, str]:
    """Return every parameter with the value that libpq will use. Raises NotConfigured."""
    return _complete(parse(url, setting), setting)


def _unknown_parameter(text: str) -> str | None:
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} | {"ssl"}
    return next((name for name, _ in parse_qsl(text.partition("?")[2]) if name not in known), None)


def _complete(given: Mapping[str, str], setting: str) -> dict[str, str]:
    """Return the parameters as libpq completes them with variables, a service file and its own defaults.

    libpq shows them for a connection only. This one ends before it opens a socket, because of its value for
    channel_binding, a parameter that nothing here needs.
    """
    refused = make_conninfo(**{**given, "channel_binding": "none"})
    connection = pq.PGconn.connect_start(refused.encode())
    try:
        if b"channel_binding" not in connection.error_message:
            reason = " ".join(connection.error_message.decode(errors="replace").split())
            raise NotConfigured(f"{setting}: {reason}")
        return {
            option.keyword.decode(): option.val.decode(errors="replace")
            for option in connection.info
            if option.val and option.keyword != b"channel_binding"
        }
    finally:
        connection.finish()
