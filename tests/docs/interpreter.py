"""Runs the Python blocks of one page, in one namespace, in whichever interpreter starts this file.

A line of JSON on stdin is the code of a block; a line of JSON on stdout is what it printed, and the traceback
if it failed. It imports the standard library only: a reader's environment need not have anything of ours.
"""

import io
import json
import sys
import traceback
from contextlib import redirect_stdout
from typing import Any


def main() -> None:
    replies, namespace = sys.stdout, dict[str, Any](__name__="__main__")
    for line in sys.stdin:
        printed, failure = io.StringIO(), None
        try:
            with redirect_stdout(printed):
                exec(compile(json.loads(line), "the page", "exec"), namespace)
        except BaseException:
            failure = traceback.format_exc()
        replies.write(json.dumps({"printed": printed.getvalue(), "failure": failure}) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
