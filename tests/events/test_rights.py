"""What services may do is listed, without their keys."""

from typing import Any

import orjson
from pydantic import SecretStr

from pointledger.events.rights import ServiceLine, services
from pointledger.settings import Settings
from pointledger.settings.http_api import ServiceRights

SECRET = "s" * 32


def producer(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "keys": [{"id": "2026", "secret": SECRET}], **fields}


def test_services_are_listed_for_their_tenants_without_secrets(settings: Settings) -> None:
    keys = {
        "producers": [
            producer("svc:till", tenants=["shop"], kinds=["spend", "apply-rule"], per_minute=600),
            producer("svc:all", tenants="all"),
            producer("svc:cafe", tenants=["cafe"]),
        ]
    }
    rights = {
        "svc:till": ServiceRights(tenants=frozenset({"shop"}), kinds=frozenset({"read", "earn"})),
        "svc:bar": ServiceRights(tenants=frozenset({"cafe"}), kinds=frozenset({"read"})),
    }
    given = settings.model_copy(
        update={"http_services": rights, "ingest_keys": SecretStr(orjson.dumps(keys).decode())}
    )
    found = services(given, "shop")
    assert found == [
        ServiceLine("svc:all", "events", ("apply-rule",), False, True, None, ("2026",)),
        ServiceLine("svc:till", "events", ("apply-rule", "spend"), False, False, 600, ("2026",)),
        ServiceLine("svc:till", "requests", ("earn",), True, False, None, ()),
    ]
    assert SECRET not in repr(found)
    assert services(settings, "shop") == []
