"""All queries of the console. `PointsClient` has those that services need; people need more.

Each is of one tenant, bounded, and sees one snapshot.
"""

from pointledger.client.queries.acts import ActQueries
from pointledger.client.queries.checks import CheckQueries
from pointledger.client.queries.commands import CommandQueries
from pointledger.client.queries.days import DayQueries
from pointledger.client.queries.ledger import LedgerQueries
from pointledger.client.queries.members import MemberQueries
from pointledger.client.queries.programs import ProgramQueries
from pointledger.client.queries.queue import QueueQueries


class ConsoleQueries(
    ActQueries,
    CheckQueries,
    CommandQueries,
    DayQueries,
    MemberQueries,
    ProgramQueries,
    QueueQueries,
    LedgerQueries,
):
    """Queries of one database, for people."""
