"""The matrix of faults: which the nemesis injects, by names that begin with their numbers; which a test of
its own does, because it is about one moment; and which are not injected here, and why."""

INJECTED = {
    1: "a client drops its connection before the reply",
    2: "a client is killed after the acceptance's commit, before the reply",
    3: "a client is killed before the acceptance's commit",
    4: "the reply to the acceptance's COMMIT is lost",
    5: "Valkey is down, refuses or stands still when a doorbell is rung",
    6: "Valkey is out of memory",
    7: "Valkey is flushed, or starts with nothing",
    8: "Valkey is restored from an old file",
    9: "Valkey loses its last second",
    10: "two Valkeys, two masters",
    11: "the eviction policy is wrong",
    12: "a worker is stopped, rung and killed",
    13: "a worker is killed with messages that it has taken",
    14: "a worker is told to end under load",
    15: "a worker is killed in its transaction",
    16: "a worker is killed after its COMMIT",
    17: "a zombie: frozen until its locks have run out, then it goes on",
    18: "a worker frozen in its transaction, holding rows",
    19: "a worker frozen after its COMMIT",
    20: "a lock is lost, or held by two",
    21: "a lock is released by the wrong one, or by nobody",
    22: "transfers there and back",
    23: "serialization failures, deadlocks, lock time-outs",
    24: "the connection is cut before COMMIT",
    25: "the connection is cut after COMMIT was sent",
    26: "Postgres is stopped, or killed, with all its children",
    27: "backends are ended in a loop",
    28: "fsync fails",
    29: "the disk is full",
    30: "the disk for logs is full",
    31: "a slow disk, and a Postgres that stands still",
    33: "a transaction that stays open",
    34: "a message is delivered fifty times",
    35: "messages come in another order",
    37: "one key, sent by many at once",
    39: "a worker's clock is wrong",
    41: "beat is away",
    42: "five beats at once",
    44: "commands that race for the same lots and holds",
    45: "partitions, in both directions and in one, of clients and workers",
    46: "all links are clogged, and freed in another order",
    47: "bits flip on a link",
    48: "a command whose handler raises",
    49: "poison on the workers' own queue",
    51: "a relay is killed between sending and noting",
    53: "the broker of events is away",
    55: "a rule is changed while its events are applied",
    57: "no more file descriptors",
    58: "nobody reads the log",
}

# By a test of its own: the fault is struck at one exact moment, or nothing random would add to it.
TESTED = {
    32: "tests/faults/test_without.py::test_an_exhausted_pool_makes_callers_wait_and_leaks_no_connection",
    36: "tests/jobs/test_timetable.py",
    40: "tests/domain/test_limits.py, tests/domain/test_expiry.py",
    43: "tests/faults/test_failpoints_elsewhere.py",
    50: "tests/integrations/test_commands.py::test_q3_an_outcome_survives_the_loss_of_everything_in_redis",
    52: "tests/events/test_relay.py",
    54: "tests/engine/test_upgrade.py, tests/engine/test_failures.py",
    56: "tests/api/test_tokens.py",
}

NOT_HERE = {
    38: "no idempotency record is ever purged: the journal keeps ids and keys for ever",
    59: "a doorbell names a lane, no command: Valkey has nothing that a restored Postgres would not know; "
    "what clients were told since the backup only they can send again",
}

# Of these the machine must have a tool; where it has none, the nemesis leaves them out and says so.
NEEDS_A_TOOL = {28: "strace", 29: "strace", 39: "cc"}
