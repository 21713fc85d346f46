"""What is wrong with something malformed, told without showing it."""

from collections.abc import Callable

from pydantic import ValidationError

_FINDINGS = 10  # told of one malformed command; a thousand wrong fields need no thousand lines
_PATH_CHARACTERS = 100


def explain(error: ValidationError, name_of: Callable[[str], str] = str) -> str:
    """pydantic's findings as `field: rule`, without the input, which may be anybody's data. `name_of`: what
    the sender calls a field."""
    findings = error.errors(include_url=False, include_input=False, include_context=False)
    told = [f"{_path(finding['loc'], name_of)}: {finding['msg']}" for finding in findings[:_FINDINGS]]
    if len(findings) > _FINDINGS:
        told.append(f"and {len(findings) - _FINDINGS} more")
    return "; ".join(told)


def _path(parts: tuple[int | str, ...], name_of: Callable[[str], str]) -> str:
    """Where in the command: unknown fields have names of the sender's making, so escaped and cut."""
    first, *others = parts or ("body",)
    path = ".".join((name_of(str(first)), *map(str, others)))
    return path.encode("unicode_escape").decode()[:_PATH_CHARACTERS]
