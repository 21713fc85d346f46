"""Compares its process before and after it uses the library: `python guest.py`. It prints the names of what
has changed as JSON."""

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


def process_state() -> dict[str, object]:
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


def shared_libraries_state() -> dict[str, object]:
    """Return the state of libraries that pointledger imports and the program may use as well."""
    import celery  # noqa: PLC0415
    import structlog  # noqa: PLC0415
    from celery import signals  # noqa: PLC0415
    from kombu import pools  # noqa: PLC0415

    return {
        "structlog": structlog.is_configured(),
        "Celery's app": str(celery._state.default_app),
        "Celery's signals": [str(signals.before_task_publish.receivers), SIGNALS],
        "kombu's pools": (pools.get_limit(), len(pools.connections), len(pools.producers)),
        "modules": sorted(sys.modules),
    }


def record_signal(**_: object) -> None:
    SIGNALS.append("a signal")


SIGNALS: list[str] = []


if __name__ == "__main__":
    before = process_state()
    from pointledger import Earn, PointsClient

    imported = process_state()
    client = PointsClient.connect()
    from celery import signals

    signals.before_task_publish.connect(record_signal)
    further = shared_libraries_state()
    task_id = client.enqueue(Earn(tenant_id="shop", user_id="anna", amount=1))
    assert client.wait(task_id, timeout=40).state == "applied"
    further_after = shared_libraries_state()
    client.account("shop", "anna")
    client.close()
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(40)
    after = process_state()
    steps = {"import": (before, imported), "use": (before, after), "further": (further, further_after)}
    changed = {
        step: [name for name in one if one[name] != other[name]] for step, (one, other) in steps.items()
    }
    print(json.dumps(changed), flush=True)
