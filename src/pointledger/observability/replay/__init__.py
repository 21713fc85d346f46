"""Decides every command again, in the recorded order, and compares the results with the stored rows.

| module | owns |
| --- | --- |
| `report` | the checks, and the differences found |
| `order` | the order of application, written to a file |
| `state`, `pack`, `packed_lots` | a tenant's state: recently used parts in memory, the rest packed in files |
| `records` | the recorded commands, outcomes, configurations and rules, as domain values |
| `rows` | decisions in the form of the stored rows |
| `chunks` | chunks of commands, with the rows of the same period, or their digests |
| `compare`, `outcomes` | comparison of rows, by digest first, and of outcomes |
| `final_state` | comparison of the state after the last command |
| `tenant` | the replay of one tenant |
| `replay` | the replay of all tenants, with progress |

Deciding is pure and lives in `domain/decisions/replay.py`.
"""
