"""Settings of the console."""

from pydantic import BaseModel, Field, SecretStr


class Console(BaseModel):
    """The console, `pointledger serve --console` and `pointledger console`."""

    console_issuer: str | None = Field(
        default=None,
        description="The OpenID Connect provider at which people log in: its issuer, character by character. "
        "Below it the console finds `/.well-known/openid-configuration`.",
    )
    console_client_id: str | None = Field(
        default=None, description="The console's client id at the provider. Its ID tokens have it as `aud`."
    )
    console_client_secret: SecretStr | None = Field(
        default=None,
        description="The secret of this client. Without one the console is a public client, which only PKCE "
        "protects.",
    )
    console_url: str | None = Field(
        default=None,
        description="How browsers reach the console, like `https://points.example.com`, without a path: "
        "https, or http on loopback. Register `/console/-/callback` below it at the provider.",
    )
    console_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="The secret that signs sessions: 32 characters or more, the same for every process. "
        "With a new one all people log in again.",
    )
    console_roles_claim: str = Field(
        default="roles",
        description="The claim of the ID token with a person's roles: a list, or a text with spaces. A dot "
        "leads into an object, like `realm_access.roles`.",
    )
    console_tenants_claim: str = Field(
        default="tenants", description="The claim with the tenants that a person may see, in the same forms."
    )
    console_hours: float = Field(
        default=8.0,
        gt=0,
        le=8,
        description="How long a session lasts. No longer than a day's work, because roles that the provider "
        "withdraws end with it.",
    )
    console_rate: int = Field(
        default=10,
        ge=1,
        description="Requests per second of one session, in bursts of four times as many. A person clicks, "
        "and a page loads its parts.",
    )
    console_goodwill_limit: int = Field(
        default=1_000,
        ge=1,
        description="Points that a person with the role `support` may give as goodwill at once. For more "
        "they ask an administrator.",
    )
    console_goodwill_daily_limit: int = Field(
        default=10_000,
        ge=1,
        description="Points that a person with the role `support` may give as goodwill in one day of the "
        "tenant, to all members together: as many as ten of the largest gifts.",
    )
