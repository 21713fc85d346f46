"""Uses the client with gevent: `python greenlets.py`. It prints its results as JSON."""

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


def print_json(what: object) -> None:
    print(json.dumps(what), flush=True)


def read_account(user_id: str) -> None:
    client.account("shop", user_id)
    print_json("account")


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
    print_json({"greenlets": all(Pool(50).map(applied, [f"user-{number}" for number in range(200)]))})
    print_json({"child": works_in_a_child()})
    print_json("ready")
    sys.stdin.readline()
    reading = gevent.spawn(read_account, "user-1")  # waits in Postgres until the test releases its lock
    gevent.sleep(0)
    client.outcome("01M7YS5T0G1V9RJ7Y6C6V2Q3XA")
    print_json("outcome")
    reading.join(SECONDS)
    waiting = gevent.spawn(waits_until_it_is_closed)
    gevent.sleep(0)
    client.close()
    print_json({"closed": waiting.get(timeout=SECONDS)})
