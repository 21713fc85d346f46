"""Configures gunicorn with gevent's workers: it patches modules before the application is preloaded."""

from gevent import monkey

monkey.patch_all()
