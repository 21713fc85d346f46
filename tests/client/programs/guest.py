"""A program that looks at itself before and after it uses the library: `python guest.py`. It prints as JSON
what has changed: each by its name, before and after."""

import gc
import json
import locale
import logging
import os
import signal
import socket
import sys
import threading
import warnings


def look() -> dict[str, object]:
    return {
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "root logger": (str(logging.root.handlers), logging.root.level, logging.root.manager.disable),
        "logger class": str(logging.getLoggerClass()),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "warnings": str(warnings.filters),
        "hooks": str((sys.excepthook, threading.excepthook, sys.unraisablehook)),
        "environment": dict(os.environ),
        "locale": locale.setlocale(locale.LC_ALL),
        "time-out": socket.getdefaulttimeout(),
        "path": list(sys.path),
        "directory": os.getcwd(),
        "threads": [thread.name for thread in threading.enumerate()],
    }


def look_further() -> dict[str, object]:
    """At what the library itself imports, and the program may use, too."""
    import celery  # noqa: PLC0415
    import structlog  # noqa: PLC0415
    from celery import signals  # noqa: PLC0415
    from kombu import pools  # noqa: PLC0415

    return {
        "structlog": structlog.is_configured(),
        "Celery's app": str(celery._state.default_app),
        "Celery's signals": [str(signals.before_task_publish.receivers), TOLD],
        "kombu's pools": (pools.get_limit(), len(pools.connections), len(pools.producers)),
        "modules": sorted(sys.modules),
    }


def note(**_: object) -> None:
    TOLD.append("a signal")


TOLD: list[str] = []


if __name__ == "__main__":
    before = look()
    from pointledger import Earn, PointsClient

    imported = look()
    client = PointsClient.connect()
    from celery import signals

    signals.before_task_publish.connect(note)
    further = look_further()
    task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    assert client.wait(task_id, timeout=40).state == "applied"
    further_after = look_further()
    client.account("shop", "anna")
    client.close()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(40)
    after = look()
    stages = {"import": (before, imported), "use": (before, after), "further": (further, further_after)}
    changed = {
        stage: [name for name in one if one[name] != other[name]] for stage, (one, other) in stages.items()
    }
    print(json.dumps(changed), flush=True)
