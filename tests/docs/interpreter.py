"""Runs the Python blocks of one page in one namespace, in the interpreter that starts this file.

It reads a block as a line of JSON on stdin. It writes a line of JSON with the output, and with the traceback
if the block failed. It imports only the standard library, because the reader may not have pointledger.
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
