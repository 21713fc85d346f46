"""The conventional design, to compare with: one Celery task per command, a Redis lock per user, and one
transaction. It shares no code with the ledger. Why the comparison is fair: `docs/explanation/benchmarks.md`.

| module     | owns                                                |
| ---------- | --------------------------------------------------- |
| celery     | the app, its settings, the task and the lock        |
| producer   | sending many tasks                                  |
| apply_rule | the transaction that grants points                  |
| transfer   | the transaction between two users                   |
| tables     | the tables, and the rules as the process keeps them |
"""
