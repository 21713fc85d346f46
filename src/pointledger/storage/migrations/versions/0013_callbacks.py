"""Commands that are sent by name through Celery may bring callbacks, wait for their moment, and tell their
tenant although they were refused at the door.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CALLBACKS = """
-- What is to be sent when the outcome of a command is final: due_at is set in the transaction of the outcome.
CREATE TABLE callbacks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id uuid NOT NULL,  -- of the message that asked for it
    command_id uuid NOT NULL,  -- the command that it waits for: the message's own, or the one that it repeats
    kind text COLLATE "C" NOT NULL
        CONSTRAINT callback_kind_is_known CHECK (kind IN ('link', 'link_error', 'chain', 'result')),
    place smallint NOT NULL,
    message json NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz,
    try_at timestamptz,  -- not before
    sent_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    CONSTRAINT what_is_due_is_tried CHECK ((due_at IS NULL) = (try_at IS NULL)),
    CONSTRAINT a_callback_is_asked_for_once UNIQUE (task_id, kind, place)
);
CREATE INDEX callbacks_waiting ON callbacks (command_id) WHERE due_at IS NULL AND sent_at IS NULL;
CREATE INDEX callbacks_of_command ON callbacks (command_id);
-- Results and tasks go to servers of their own, and neither waits behind the other.
CREATE INDEX results_due ON callbacks (try_at)
    WHERE kind = 'result' AND try_at IS NOT NULL AND sent_at IS NULL;
CREATE INDEX tasks_due ON callbacks (try_at)
    WHERE kind <> 'result' AND try_at IS NOT NULL AND sent_at IS NULL;
CREATE INDEX callbacks_sent ON callbacks (sent_at) WHERE sent_at IS NOT NULL;
"""

LETTERS = """
ALTER TABLE dead_letters
    ADD COLUMN tenant_id text COLLATE "C",  -- as the message names it
    ADD COLUMN kind text COLLATE "C";
CREATE INDEX dead_letters_deferred ON dead_letters (door, held_until, id) WHERE state = 'held';
DROP INDEX dead_letters_held;
"""


def upgrade() -> None:
    op.execute(CALLBACKS)
    op.execute(LETTERS)
