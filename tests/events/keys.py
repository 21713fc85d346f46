"""Files of producers' keys."""

import json
from pathlib import Path
from typing import Any

from tests.events.sender import NEW_KEY


def write_keys(folder: Path, **more: Any) -> Path:
    """Write the keys of `web-shop`, which may send earns of all tenants, and return the file."""
    shop = {
        "name": "web-shop",
        "keys": [{"id": "new", "secret": NEW_KEY}],
        "tenants": "all",
        "kinds": ["earn"],
    }
    path = folder / "keys.json"
    path.write_text(json.dumps({"producers": [shop | more]}))
    return path
