"""Reads settings from files: `POINTLEDGER_X_FILE` names the file with the value of `POINTLEDGER_X`.

Orchestrators mount secrets as files, because other programs can read a process' environment.
"""

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource


class SettingsFiles(PydanticBaseSettingsSource):
    """The settings whose files the environment names. Raises ValueError, which names the variable."""

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            value, _, is_complex = self.get_field_value(field, name)
            if value is not None:
                found[name] = self.prepare_field_value(name, field, value, is_complex)
        return found

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """Return the file's text without its last line break, or None."""
        variable = f"{self.config.get('env_prefix', '')}{field_name.upper()}"
        file = f"{variable}_FILE"
        path = os.environ.get(file)
        if not path or f"{field_name}_file" in self.settings_cls.model_fields:
            return None, field_name, False
        if os.environ.get(variable):
            raise ValueError(f"{variable} and {file} are both set: unset one of them")
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise ValueError(f"{file}: {path}: {reason}") from None
        return text.rstrip("\r\n"), field_name, self.field_is_complex(field)
