"""Checks the console's settings, before a process listens."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from pointledger.errors import ConsoleNotConfigured
from pointledger.settings import Settings

CALLBACK = "/console/-/callback"

_NEEDED = ("console_issuer", "console_client_id", "console_url", "console_key")


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the console needs to let people log in."""

    issuer: str
    client_id: str
    client_secret: str | None
    origin: str
    """Scheme, host and port of the console, as browsers write them."""
    key: str

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach the console over https."""
        return self.origin.startswith("https://")

    @property
    def callback(self) -> str:
        """The address to which the provider sends people back."""
        return self.origin + CALLBACK


def configuration_of(settings: Settings) -> Configuration:
    """Return the checked configuration. Raises ConsoleNotConfigured, which names each variable."""
    missing = [f"POINTLEDGER_{name.upper()}" for name in _NEEDED if not getattr(settings, name)]
    if missing:
        raise ConsoleNotConfigured(f"not set: {', '.join(missing)}")
    issuer, key = settings.console_issuer, settings.console_key
    assert issuer and key and settings.console_client_id and settings.console_url, "they are not missing"
    if not is_trustworthy(issuer):
        raise ConsoleNotConfigured("POINTLEDGER_CONSOLE_ISSUER must be an https URL, or http on loopback")
    secret = settings.console_client_secret
    return Configuration(
        issuer,
        settings.console_client_id,
        secret.get_secret_value() if secret else None,
        _origin(settings.console_url),
        key.get_secret_value(),
    )


def is_trustworthy(url: str) -> bool:
    """Return whether the way to this URL is protected: https, or loopback."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host or "")))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if not is_trustworthy(url) or parts.path.strip("/") or parts.query or parts.username is not None:
        raise ConsoleNotConfigured(
            "POINTLEDGER_CONSOLE_URL must be like https://points.example.com, without a path; http only on "
            "loopback"
        )
    host, port = parts.hostname or "", parts.port
    shown_host = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown_host}" + (f":{port}" if port not in (None, usual) else "")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
