"""Settings of the shop. A real one has more, and reads its secrets from elsewhere."""

from sqlalchemy import make_url

from examples.login import shop_url

_url = make_url(shop_url("shop_django"))

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.database,
        "USER": _url.username,
        "PASSWORD": _url.password,
        "HOST": _url.host,
        "PORT": _url.port,
    }
}
INSTALLED_APPS = ["pointledger.frameworks.django", "examples.django.shop"]
POINTLEDGER = {"STATEMENT_TIMEOUT_MS": 5_000}  # the environment has the addresses
TEST_RUNNER = "pointledger.frameworks.django.testing.LedgerTestRunner"

ROOT_URLCONF = "examples.django.urls"
SECRET_KEY = "only for examples"
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
