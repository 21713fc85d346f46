"""The tasks: one line each to the engine, the journal or the sweep. Names are contracts (`wire.py`)."""

import json
import time
from typing import Any

import structlog
from celery import Task
from celery.exceptions import Ignore, Reject, WorkerShutdown, WorkerTerminate

from pointledger import telemetry, wire
from pointledger.domain.commands import KINDS, command_from
from pointledger.domain.outcomes import IDEMPOTENCY_KEY_REUSED, INVALID_COMMAND
from pointledger.errors import AcceptanceBusy, BacklogFull, IdempotencyKeyReused, InvalidCommand
from pointledger.ids import parse_id
from pointledger.notify import TELL_EXPIRING
from pointledger.storage import journal, letters
from pointledger.storage.database import is_transient
from pointledger.storage.lanes import end_frozen
from pointledger.sweep import EXPIRE_POINTS, RESET_DAILY_LIMITS
from pointledger.wire import lane_of
from workers.celery import app, settings
from workers.machine import machine

_WAITED_TOO_LONG_SECONDS = 2.0  # a doorbell is answered in milliseconds; this lane's was lost
_BACKLOG_FULL_SECONDS = 0.25  # as long as a turn, so that doorbells get half of the worker's time at least
_DATABASE_AWAY_SECONDS = 1.0  # between tries of a command that cannot be accepted for the moment

_log = structlog.get_logger()


class LedgerTask(Task):
    """A task that no message and no bug can take the worker down with."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if any(getattr(self.request, name, None) for name in ("callbacks", "errbacks", "chain", "chord")):
            # The worker would publish what the message carries, with its own rights.
            _log.error("message_refused", action="task", task=self.name, rule="no callbacks")
            raise Ignore
        try:
            return self.run(*args, **kwargs)
        except (WorkerShutdown, WorkerTerminate):
            raise
        except MemoryError as error:
            raise RuntimeError("out of memory") from error  # Celery would end the worker, and the next one
        except Exception:
            raise
        except BaseException as error:
            raise RuntimeError(f"{type(error).__name__} in a task") from error


app.Task = LedgerTask


@app.task(name=wire.DRAIN_TASK)
def drain(lane: int) -> None:
    """Applies what waits in a lane. What cannot be done now, the beat rings for."""
    machine().engine.drain(lane)


def accept(task: Task, /, *args: Any, **fields: Any) -> None:
    """Accepts a command sent by name; the message's task id is the command's id."""
    kind = _KIND_OF_TASK[task.name]
    try:
        if args:
            raise InvalidCommand("fields are given by name, as kwargs")
        if "id" in fields:
            raise InvalidCommand("id: the message's task id is the command's id")
        command = command_from(kind, {**fields, "id": task.request.id})
        machine().door.accept([command])
    except InvalidCommand as error:
        _keep(task, fields, INVALID_COMMAND, str(error))
    except IdempotencyKeyReused as error:
        _keep(task, fields, IDEMPOTENCY_KEY_REUSED, str(error))
    except BacklogFull as error:
        # It stays in Celery's queue; meanwhile this worker does what makes room, instead of waiting for it.
        if not machine().engine.drain(lane_of(command.tenant_id, command.user_id, settings.lanes)):
            time.sleep(_BACKLOG_FULL_SECONDS)
        raise Reject(error, requeue=True) from error
    except Exception as error:
        if not (is_transient(error) or isinstance(error, AcceptanceBusy)):
            raise
        time.sleep(_DATABASE_AWAY_SECONDS)
        raise Reject(error, requeue=True) from error


_KIND_OF_TASK = {wire.task_name(kind): kind for kind in KINDS}
for _name in _KIND_OF_TASK:
    app.task(accept, name=_name, bind=True)


def _keep(task: Task, fields: dict[str, Any], reason: str, error: str) -> None:
    """Lets the sender's task id answer what was wrong."""
    try:
        task_id = parse_id(task.request.id)
    except ValueError:
        task_id = None
    raw = json.dumps({"task": task.name, "id": task.request.id, "kwargs": fields}).encode()
    with machine().database.begin() as connection:
        letters.keep(connection, door="celery", task_id=task_id, raw=raw, reason=reason, error=error)
    _log.warning("no_command", action="accept", task=task.name, task_id=task.request.id, reason=reason)


@app.task(name=wire.RING_TASK)
def ring_waiting_lanes() -> None:
    """Rings every lane in which something has waited too long, whatever its doorbell says; and ends what
    holds a lane although its process stands still."""
    machine().doorbells.hear_beat()
    with machine().database.connect() as connection:
        if frozen := end_frozen(connection, settings.lock_ttl_ms):
            _log.warning("frozen_transactions_ended", action="ring", transactions=frozen)
        lanes = journal.waiting_lanes(connection, _WAITED_TOO_LONG_SECONDS)
        may_go = journal.full_lanes(connection, lanes, 0) if lanes else []
    if may_go and (unheard := machine().doorbells.unheard(may_go)):
        telemetry.RESCUED.inc(len(unheard))
        _log.warning("lanes_rescued", action="ring", lanes=len(unheard))
    machine().doorbells.ring(lanes, whatever_the_door_says=True)


@app.task(name=wire.EXPIRE_POINTS_TASK)
def expire_points() -> None:
    """Expires what is due at each tenant's last midnight, a piece at a time: commands go in between."""
    sweep = machine().sweep
    sweep.open_runs(EXPIRE_POINTS)
    if sweep.expire_points():
        expire_points.apply_async()


@app.task(name=wire.ACTIVATE_POINTS_TASK)
def activate_points() -> None:
    """Makes pending points available whose moment has come."""
    machine().sweep.activate_points()


@app.task(name=wire.RELEASE_HOLDS_TASK)
def release_holds() -> None:
    """Releases the holds that have timed out."""
    machine().sweep.release_holds()


@app.task(name=wire.TELL_EXPIRING_TASK)
def tell_expiring() -> None:
    """Tells whose points expire soon, a page at a time: commands go in between."""
    machine().sweep.open_runs(TELL_EXPIRING, from_today=True)
    if machine().notify.tell_expiring():
        tell_expiring.apply_async()


@app.task(name=wire.FINISH_ERASURES_TASK)
def finish_erasures() -> None:
    """Takes users who were erased out of what the journal still says of them."""
    machine().sweep.finish_erasures()


@app.task(name=wire.RESET_LIMITS_TASK)
def reset_daily_limits() -> None:
    """Closes the daily windows that ended with each tenant's midnight."""
    sweep = machine().sweep
    sweep.open_runs(RESET_DAILY_LIMITS)
    while sweep.reset_daily_limits():
        pass
