"""Runs celery or pointledger as a child that ends when its parent ends, even if the parent is killed."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call, so no signal will come
        sys.exit(1)
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "celery":
        from celery.bin.celery import main
    else:
        from pointledger.cli import main
    main()
