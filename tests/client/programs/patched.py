"""gunicorn's configuration where its workers are gevent's: what is preloaded must be patched before."""

from gevent import monkey

monkey.patch_all()
