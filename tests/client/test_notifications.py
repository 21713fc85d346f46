"""A caller that waits for an outcome reads it only when it may have changed, and together with others: each
statement costs a round trip."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import pytest

from pointledger import Outcome, PointsClient
from pointledger.client import looks
from pointledger.client.latch import Latch
from pointledger.client.looks import Found, OutcomeLooks
from pointledger.errors import ClientClosed, WaitTimedOut
from pointledger.ids import new_id, parse_id, show_id
from tests.client.accepting import earn
from tests.lanes import user_in
from tests.ledger import Ledger
from tests.waiting import wait_until

LONG = 60.0  # a deadline that no caller reaches
WAITING = 20


class Recorded:
    """Records which outcomes each look of a client reads. `before` runs in the thread that looks."""

    def __init__(self, client: PointsClient, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reads: list[list[UUID]] = []
        self.before: Callable[[], object] = lambda: None
        self.looks: OutcomeLooks = client._own.looks
        self._read = self.looks._read
        monkeypatch.setattr(self.looks, "_read", self._recorded)

    def _recorded(self, ids: list[UUID], seconds: float) -> Found:
        self.reads.append(ids)
        self.before()
        return self._read(ids, seconds)

    def wait_for(self, callers: int) -> None:
        """Return when so many callers wait, and no look is due or under way."""

        def is_quiet() -> bool:
            waiters = self.looks._waiters
            return len(waiters) == callers and not self.looks._due and self.looks._looking is None

        wait_until(is_quiet, f"{callers} callers wait")


@pytest.fixture
def client(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Iterator[PointsClient]:
    """A client that has on_processed of every lane, and does not poll."""
    ledger.tenant()
    monkeypatch.setattr(looks, "_POLL_SECONDS", LONG)
    with PointsClient.connect(ledger.settings) as opened:
        listen(opened)
        yield opened


def listen(client: PointsClient) -> None:
    own = client._own
    own.notifications.listen(own.looks._on_processed)
    wait_until(lambda: all(own.notifications.sequence()), "every lane is subscribed")


@pytest.fixture
def recorded(client: PointsClient, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(client, monkeypatch)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WAITING + 1) as opened:
        yield opened


def waiting(client: PointsClient, pool: ThreadPoolExecutor, task_ids: list[str]) -> "list[Future[Outcome]]":
    return [pool.submit(client.wait, task_id, LONG) for task_id in task_ids]


def final(futures: "list[Future[Outcome]]") -> list[tuple[str, str]]:
    return [(outcome.task_id, outcome.state) for outcome in (one.result(LONG) for one in futures)]


def mute(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose the notifications of the engine."""
    monkeypatch.setattr(ledger.doorbells, "notify", lambda _: None)


# -------------------------------------------------------------------------------------------- when it looks


def test_a_new_command_is_read_once_and_only_when_its_lane_is_processed(
    client: PointsClient, recorded: Recorded, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    task_id = client.enqueue(earn(user_id=user_in(3, "shop", ledger.settings.lanes)))
    futures = waiting(client, pool, [task_id])
    recorded.wait_for(1)
    ledger.doorbells.notify([4])
    ledger.drain()
    assert final(futures) == [(task_id, "applied")]
    assert recorded.reads == [[parse_id(task_id)]]


def test_a_command_whose_lane_was_processed_before_the_call_is_read_at_once(
    client: PointsClient, recorded: Recorded, ledger: Ledger
) -> None:
    task_id = client.enqueue(earn())
    before = sum(client._own.notifications.sequence())
    ledger.drain()
    wait_until(lambda: sum(client._own.notifications.sequence()) > before, "the notification has arrived")
    assert client.wait(task_id).state == "applied"
    assert len(recorded.reads) == 1


def test_duplicates_and_commands_of_others_are_read_at_once(
    client: PointsClient, recorded: Recorded, ledger: Ledger
) -> None:
    command = earn()
    client.enqueue(command)
    ledger.drain()
    assert client.wait(client.enqueue(command)).state == "applied"
    [task_id] = ledger.client.enqueue_many([earn()])
    ledger.drain()
    assert client.wait(task_id).state == "applied"
    assert len(recorded.reads) == 2


def test_a_command_of_another_process_is_read_when_its_lane_is_processed(
    client: PointsClient, recorded: Recorded, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    [task_id] = ledger.client.enqueue_many([earn()])
    futures = waiting(client, pool, [task_id])
    recorded.wait_for(1)
    assert len(recorded.reads) == 2, "the first look finds the lane, the second what came meanwhile"
    ledger.drain()
    assert final(futures) == [(task_id, "applied")]
    assert len(recorded.reads) == 3


def test_a_call_without_time_looks_once(client: PointsClient, recorded: Recorded, ledger: Ledger) -> None:
    task_id = client.enqueue(earn())
    with pytest.raises(WaitTimedOut, match=f"{task_id} is pending after 0 s"):
        client.wait(task_id, timeout=0)
    with pytest.raises(WaitTimedOut, match="is unknown after 0 s"):
        client.wait(show_id(new_id()), timeout=0)
    ledger.drain()
    assert client.wait(task_id, timeout=0).state == "applied"
    assert len(recorded.reads) == 3


def test_sequences_are_0_before_the_subscription(ledger: Ledger) -> None:
    assert not any(ledger.client._own.notifications.sequence())


# ------------------------------------------------------------------------------------------- all together


def test_one_look_after_a_notification_serves_all_that_wait(
    client: PointsClient, recorded: Recorded, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    task_ids = [client.enqueue(earn(number + 1)) for number in range(WAITING)]
    futures = waiting(client, pool, task_ids)
    recorded.wait_for(WAITING)
    ledger.drain()  # one user, so one lane and one batch
    assert final(futures) == [(task_id, "applied") for task_id in task_ids]
    assert [len(read) for read in recorded.reads] == [WAITING]


def test_callers_of_several_tenants_each_get_their_own_outcome(
    client: PointsClient, recorded: Recorded, ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    ledger.tenant("till")
    commands = [earn(number + 1, tenant_id=("shop", "till")[number % 2]) for number in range(WAITING)]
    task_ids = [client.enqueue(command) for command in commands]
    futures = waiting(client, pool, task_ids)
    recorded.wait_for(WAITING)
    ledger.drain()
    outcomes = [one.result(LONG) for one in futures]
    assert [(outcome.task_id, outcome.tenant_id) for outcome in outcomes] == [
        (task_id, command.tenant_id) for task_id, command in zip(task_ids, commands, strict=True)
    ]


def test_only_callers_with_an_outcome_are_woken(
    client: PointsClient,
    recorded: Recorded,
    ledger: Ledger,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocked = [earn(number + 1, tenant_id="paused") for number in range(WAITING - 1)]
    ledger.tenant("paused")
    client.pause("paused")
    lane = user_in(5, "paused", ledger.settings.lanes)
    task_ids = [client.enqueue(one.model_copy(update={"user_id": lane})) for one in blocked]
    goes = client.enqueue(earn(user_id=user_in(5, "shop", ledger.settings.lanes)))
    woken: list[threading.Thread] = []
    takes_lead = OutcomeLooks._takes_lead

    def noted(own: OutcomeLooks, waiter: looks._Waiter, give_up_at: float) -> bool:
        woken.append(threading.current_thread())
        return takes_lead(own, waiter, give_up_at)

    stay = waiting(client, pool, task_ids)
    recorded.wait_for(len(stay))
    [applied] = waiting(client, pool, [goes])
    recorded.wait_for(len(stay) + 1)
    monkeypatch.setattr(OutcomeLooks, "_takes_lead", noted)
    ledger.drain()
    assert final([applied]) == [(goes, "applied")]
    assert len(woken) <= 2, "the one that looked, and the one that has an outcome"
    client.resume("paused")
    ledger.drain()
    assert {state for _, state in final(stay)} == {"applied"}


def test_when_notifications_are_lost_one_caller_polls_for_all(
    ledger: Ledger, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.tenant()
    mute(ledger, monkeypatch)
    with PointsClient.connect(ledger.settings) as client:
        listen(client)
        recorded = Recorded(client, monkeypatch)
        task_ids = [client.enqueue(earn(number + 1)) for number in range(WAITING)]
        futures = waiting(client, pool, task_ids)
        wait_until(lambda: len(recorded.reads) >= 2, "they poll")
        ledger.drain()
        assert final(futures) == [(task_id, "applied") for task_id in task_ids]
    whole = [read for read in recorded.reads if len(read) == WAITING]
    assert len(recorded.reads) - len(whole) <= 1, "at most the first looks before all have come"


# ------------------------------------------------------------------------------------- when a look goes wrong


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_in_a_look_reaches_only_the_caller_that_looked(
    client: PointsClient,
    recorded: Recorded,
    ledger: Ledger,
    pool: ThreadPoolExecutor,
    error: type[BaseException],
) -> None:
    task_ids = [client.enqueue(earn(number + 1)) for number in range(5)]
    futures = waiting(client, pool, task_ids)
    recorded.wait_for(5)
    strikes = [error]

    def strike() -> None:
        if strikes:
            raise strikes.pop()

    recorded.before = strike
    ledger.drain()
    raised = [one for one in futures if isinstance(one.exception(LONG), error)]
    assert len(raised) == 1
    assert {state for _, state in final([one for one in futures if one not in raised])} == {"applied"}
    recorded.wait_for(0)


def test_a_caller_keeps_its_deadline_while_the_look_of_another_hangs(
    client: PointsClient,
    recorded: Recorded,
    ledger: Ledger,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looks, "_GRACE_SECONDS", 0.05)
    over = threading.Event()
    task_ids = [client.enqueue(earn(number + 1)) for number in range(2)]
    recorded.before = lambda: over.wait(LONG)
    [hangs] = waiting(client, pool, [show_id(new_id())])  # an unknown command is read at once
    wait_until(lambda: len(recorded.reads) == 1, "a look hangs")
    with pytest.raises(WaitTimedOut, match=r"the database has not said within 0\.1 s what became of"):
        client.wait(task_ids[0], timeout=0.1)
    client.close()
    with pytest.raises(ClientClosed):
        client.wait(task_ids[1], timeout=LONG)
    over.set()
    with pytest.raises(ClientClosed):
        hangs.result(LONG)


def test_the_look_of_a_thread_that_never_returned_does_not_stop_others(
    client: PointsClient, recorded: Recorded, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded.looks._looking = looks._Waiter(new_id(), None, Latch())
    monkeypatch.setattr(looks, "_LOST_SECONDS", 0.0)
    task_id = client.enqueue(earn())
    ledger.drain()
    assert client.wait(task_id).state == "applied"
