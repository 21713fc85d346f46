"""What all queries have: their database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointledger.client.queries import late

if TYPE_CHECKING:
    import sqlalchemy as sa


class Queries:
    """Base class of queries against one database."""

    def __init__(self, database: sa.Engine) -> None:
        late.load()  # not in the first request
        self._engine = database

    @property
    def _database(self) -> sa.Engine:
        return self._engine
