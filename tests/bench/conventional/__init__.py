"""The conventional design: one Celery task per command, one Redis lock per user and one transaction.

It shares no code with the ledger. `docs/explanation/benchmarks.md` says why the comparison is fair.

| module     | owns                                                |
| ---------- | --------------------------------------------------- |
| celery     | the app, its settings, the task and the lock        |
| producer   | sending many tasks                                  |
| apply_rule | the transaction that grants points                  |
| transfer   | the transaction between two users                   |
| tables     | the tables, and the process's cache of rules        |
"""
