"""The HTTP gateway: the door for services and people (the extra `http`, the command `pointledger serve`).

A request passes, in this order: `protocol.py` (HTTP itself), `edge.py` (sizes, how many at once, metrics),
its route, `tokens.py` (who?), `buckets.py` (how often?), `access.py` (may they?), `body.py` (strict JSON). A
command then goes into the journal together with whatever else waits (`accepting.py`), and its request waits
for the outcome with all others (`waiting.py`); what is asked only is read in a thread (`gateway.py`).
`envelope.py` gives answers their form, `statuses.py` their status.

Adding a route: a function in a module of `routes/` (a new topic is a new module, listed in
`routes/__init__.py`), and a line for it in the table of `access.py`, without which it answers 403. A route
for a command is a line in the table of `routes/commands.py`. Each has an operation id, the shape of its
answer (`shapes*.py`), the model of its body (`requests.py`) and examples of that (`examples.py`); from these
`description.py` makes the document at /openapi.json.
"""
