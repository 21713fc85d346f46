"""Runs a relay that dies when it has sent events and not yet marked them as sent."""

import os

from pointledger.settings import Settings
from pointledger.storage.events import outbox
from tests.events.listener import relay_all

STATUS = 9  # its exit status


def relay_and_die(settings: Settings) -> None:
    outbox.mark_sent = lambda *_: os._exit(STATUS)
    relay_all(settings)
