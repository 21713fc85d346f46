"""Creates a client and then forks: `python forking.py SCENARIO`. It prints its result as JSON, and waits for
a line at each `pause`."""

import ctypes
import faulthandler
import gc
import json
import multiprocessing
import os
import signal
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy as sa
from celery import Celery
from kombu.utils.objects import cached_property
from sqlalchemy import orm

from pointledger import Earn, PointsClient
from pointledger.client.encoding import encode
from pointledger.domain.commands import command_from
from pointledger.storage.queue import journal

CHILDREN, COMMANDS = 4, 10
FORKS = 150  # without a cure, one of fifteen hangs
SECONDS = 40


def earn(user_id: str) -> Earn:
    return Earn(tenant_id="shop", user_id=user_id, amount=1)


def applied(client: PointsClient, user_id: str) -> bool:
    return client.wait(client.enqueue(earn(user_id)), timeout=SECONDS).state == "applied"


def pause(where: str) -> None:
    print(json.dumps(where), flush=True)
    sys.stdin.readline()


def child(work: Callable[[], object], fork: Callable[[], int] = os.fork, *, exits: bool = False) -> int:
    """Fork a process that works, and ends with status 0 on success."""
    if pid := fork():
        return pid
    signal.alarm(SECONDS)
    try:
        work()
    except BaseException as error:
        print(f"child: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)
    if exits:
        sys.exit(0)  # like a program, so that the interpreter cleans up
    os._exit(0)


def all_well(*pids: int) -> bool:
    return all(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 for pid in pids)


def family(client: PointsClient) -> dict[str, object]:
    """Let children and grandchildren work beside threads of the parent."""
    done: list[bool] = []

    def work(name: str) -> None:
        done.extend(applied(client, f"{name}-{number}") for number in range(COMMANDS))

    def work_of_child(name: str) -> None:
        work(name)
        assert all(done[-COMMANDS:])
        assert all_well(child(lambda: work(f"{name}-child")))

    threads = [threading.Thread(target=work, args=(f"thread-{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    children = [child(partial(work_of_child, f"child-{number}")) for number in range(CHILDREN)]
    for thread in threads:
        thread.join()
    work("parent")
    return {"children": all_well(*children), "parent": all(done), "commands": len(done)}


def quiet(client: PointsClient) -> dict[str, object]:
    """Fork children that do nothing, close the client, or free it. None affects the parent."""
    others = [PointsClient.connect()]
    assert applied(client, "before")
    assert applied(others[0], "another")
    pause("connected")

    def free() -> None:
        freed = weakref.ref(others.pop())
        gc.collect()
        assert freed() is None

    well = all_well(
        child(lambda: None),
        child(lambda: None, exits=True),
        child(client.close),
        child(client.close, exits=True),
        child(free, exits=True),
        child(lambda: applied(client, "child"), exits=True),
    )
    still_works = applied(client, "after") and applied(others[0], "after")
    pause("over")
    return {"children": well, "parent": still_works}


def transaction(client: PointsClient) -> dict[str, object]:
    """Fork while the parent's own transaction with a command is open."""
    database = sa.create_engine(
        os.environ["POINTLEDGER_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
    )

    def work_of_child() -> None:
        database.dispose(close=False)  # SQLAlchemy requires it in a child for the caller's engine
        client.enqueue(earn("child-alone"))
        with orm.Session(database) as session, session.begin():
            client.enqueue(earn("child-within"), session)

    with orm.Session(database) as session, session.begin():
        client.enqueue(earn("parent-within"), session)
        well = all_well(child(work_of_child))
    return {"children": well}


def unnoticed(client: PointsClient) -> dict[str, object]:
    """Fork without Python's hooks, as uWSGI does."""
    assert applied(client, "before")
    fork = ctypes.PyDLL(None).fork
    children = [child(lambda: applied(client, "child"), fork) for _ in range(2)]
    return {"children": all_well(*children), "parent": applied(client, "after")}


def grouped(client: PointsClient) -> dict[str, object]:
    """Fork while threads of the parent lead groups, and others wait for them."""
    assert applied(client, "before")
    held, over = threading.Semaphore(0), threading.Event()

    parent, accept_each = os.getpid(), journal.accept_each

    def hold(*given: Any) -> Any:
        if os.getpid() == parent and not over.is_set():
            held.release()
            over.wait()
        return accept_each(*given)

    vars(journal)["accept_each"] = hold
    done: list[bool] = []
    threads = [
        threading.Thread(target=lambda name=f"thread-{number}": done.append(applied(client, name)))
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for _ in range(2):  # both leaders are at their statements
        held.acquire()
    pids = [child(partial(applied, client, f"child-{number}")) for number in range(2)]
    children = all_well(*pids)
    over.set()
    for thread in threads:
        thread.join()
    return {"children": children, "parent": applied(client, "after"), "threads": done}


def locked(client: PointsClient) -> dict[str, object]:
    """Fork while a thread holds the lock of every cached property of kombu and Celery."""
    assert applied(client, "before")
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        found = [one for one in gc.get_objects() if isinstance(one, cached_property)]
        for one in found:
            one.lock.acquire()
        held.set()
        over.wait()
        for one in found:
            one.lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    pid = child(lambda: applied(client, "child"))
    over.set()
    thread.join()
    return {"children": all_well(pid), "parent": applied(client, "after")}


def pool(client: PointsClient) -> dict[str, object]:
    """Use the client in a pool of multiprocessing."""
    assert applied(client, "before")
    with multiprocessing.get_context("fork").Pool(3) as workers:
        done = workers.map(_applied_by_worker, [f"user-{number}" for number in range(30)])
        workers.close()
        workers.join()
    return {"children": all(done), "parent": applied(client, "after")}


def spawned(client: PointsClient) -> dict[str, object]:
    """Start processes that are not forked, to which the client cannot be passed."""
    errors = {}
    methods = multiprocessing.get_context("spawn"), multiprocessing.get_context("forkserver")
    for context in methods:
        try:
            context.Process(target=print, args=(client,)).start()
        except TypeError as error:
            errors[context.get_start_method()] = str(error)
        with context.Pool(1) as workers:
            assert workers.map(_applied_by_its_own, ["user"]) == [True]
            workers.close()
            workers.join()
    return {"errors": errors}


def results(client: PointsClient) -> dict[str, object]:
    """Read Celery's results in threads and in children."""
    app = Celery("user", backend="pointledger.integrations.celery_backend:OutcomeBackend")
    task_id = client.enqueue(earn("anna"))
    backends = []

    def read() -> None:
        assert app.AsyncResult(task_id).get(timeout=SECONDS)["state"] == "applied"
        backends.append(app.backend)

    read()
    threads = [threading.Thread(target=read) for _ in range(5)]
    for thread in threads:
        thread.start()
    well = all_well(child(read), child(read))
    for thread in threads:
        thread.join()
    read()
    return {"children": well, "results": len(backends), "backends": len(set(map(id, backends)))}


def _applied_by_worker(user_id: str) -> bool:
    return applied(CLIENT, user_id)


def _applied_by_its_own(user_id: str) -> bool:
    with PointsClient.connect() as client:
        return applied(client, user_id)


def first(_: PointsClient) -> dict[str, object]:
    """Fork while threads encode the first commands of their process, again and again in a process that has
    encoded none. The command has objects in it, which are encoded by code of their own."""
    fields = {"tenant_id": "shop", "user_id": "anna", "lots": [{"amount": 5}]}
    commands = [command_from("import-opening-balance", fields), earn("anna")]
    sys.setswitchinterval(1e-5)  # the threads stop in the middle of more places

    def encode_all() -> None:
        for each in commands:
            encode(each, 1)

    def fork_beside_threads() -> None:
        for _ in range(4):
            threading.Thread(target=encode_all, daemon=True).start()
        assert all_well(child(encode_all))

    return {"children": all(all_well(child(fork_beside_threads)) for _ in range(FORKS))}


SCENARIOS = (first, family, quiet, transaction, unnoticed, grouped, locked, pool, spawned, results)

if __name__ == "__main__":
    faulthandler.register(signal.SIGALRM, chain=True)  # prints the stack of a child that hangs
    CLIENT = PointsClient.connect()
    scenario = {one.__name__: one for one in SCENARIOS}
    print(json.dumps(scenario[sys.argv[1]](CLIENT)), flush=True)
