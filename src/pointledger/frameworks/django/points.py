"""Enqueues commands in the transaction that Django has open."""

from collections.abc import Sequence
from contextlib import nullcontext

from django.db import connections, transaction

from pointledger.client.client import PointsClient
from pointledger.client.receipts import Receipt
from pointledger.domain.commands import AnyCommand
from pointledger.frameworks.configured import settings_from
from pointledger.frameworks.django.conf import database_alias, given_settings, require_postgres
from pointledger.frameworks.lazy_client import LazyClient


class Points:
    """The ledger, for views, signals and tasks of a Django project. All threads share it.

    `using` is an alias of `DATABASES`; the default is that of `settings.POINTLEDGER`. Inside
    `transaction.atomic` a command exists if and only if Django's transaction commits, and a savepoint that is
    rolled back takes its commands with it. Workers are notified by `transaction.on_commit`. Outside, the call
    is a transaction of its own.

    Each method raises what `PointsClient` raises, and NotConfigured or SettingsInvalid at the first use.
    Errors of Django's connection come as Django raises them.
    """

    def __init__(self) -> None:
        self._client = LazyClient(lambda: settings_from(given_settings()))

    @property
    def client(self) -> PointsClient:
        """The client of this process, for outcomes and queries. It has connections of its own."""
        return self._client.get()

    def enqueue(self, command: AnyCommand, using: str | None = None) -> str:
        """Accept a command and return its task id."""
        return self.accept([command], using).task_ids[0]

    def enqueue_many(self, commands: Sequence[AnyCommand], using: str | None = None) -> list[str]:
        """Accept commands, all or none, and return their task ids in order."""
        return self.accept(commands, using).task_ids

    def accept(self, commands: Sequence[AnyCommand], using: str | None = None) -> Receipt:
        """Accept commands, all or none.

        Where Django leaves transactions to you (`AUTOCOMMIT` is false), call `client.ring` with the receipt
        after your commit.
        """
        alias = using or database_alias()
        require_postgres(alias)
        connection = connections[alias]
        own = transaction.atomic(using=alias) if connection.get_autocommit() else nullcontext()
        with own:
            connection.validate_no_broken_transaction()
            with connection.wrap_database_errors:
                receipt = self.client.accept(commands, connection.connection)
            if connection.in_atomic_block:
                # A function, because Django names one that fails.
                transaction.on_commit(lambda: self.client.ring(receipt), using=alias, robust=True)
        return receipt

    def close(self) -> None:
        """Close the client. The next use makes another, with the settings of then."""
        self._client.close()
