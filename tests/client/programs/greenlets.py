"""A program of gevent's: `python greenlets.py`. It prints what came of it as JSON."""

from gevent import monkey

monkey.patch_all()

import json
import os
import sys

import gevent
from gevent.pool import Pool

from pointledger import Earn, PointsClient
from pointledger.errors import ClientClosed

SECONDS = 40


def applied(user_id: str) -> bool:
    task_id = client.enqueue(Earn(tenant_id="shop", user_id=user_id, amount=1))
    return client.wait(task_id, timeout=SECONDS).state == "applied"


def say(what: object) -> None:
    print(json.dumps(what), flush=True)


def ask(user_id: str) -> None:
    client.account("shop", user_id)
    say("account")


def works_in_a_child() -> bool:
    if (pid := os.fork()) == 0:
        os._exit(0 if applied("child") else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def waits_until_it_is_closed() -> bool:
    try:
        client.wait(client.enqueue(Earn(tenant_id="nobody", user_id="anna", amount=1)), timeout=600)
    except ClientClosed:
        return True
    return False


if __name__ == "__main__":
    client = PointsClient.connect()
    say({"greenlets": all(Pool(50).map(applied, [f"user-{number}" for number in range(200)]))})
    say({"child": works_in_a_child()})
    say("ready")
    sys.stdin.readline()
    asking = gevent.spawn(ask, "user-1")  # waits in Postgres until the test lets it go on
    gevent.sleep(0)
    client.outcome("01M7YS5T0G1V9RJ7Y6C6V2Q3XA")
    say("outcome")
    asking.join(SECONDS)
    waiting = gevent.spawn(waits_until_it_is_closed)
    gevent.sleep(0)
    client.close()
    say({"closed": waiting.get(timeout=SECONDS)})
