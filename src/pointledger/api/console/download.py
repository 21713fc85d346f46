"""Builds files to download: CSV that spreadsheets may open, and lines of JSON."""

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet would run a text that begins so


def cell(value: Any) -> Any:
    """Return a value for a spreadsheet. A text is never a formula, because others have written it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def attachment(name: str) -> dict[str, str]:
    """Return the header that makes a browser save the file under this name."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
