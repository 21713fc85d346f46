"""The audit that decides again: every command anew, in the recorded order, against what the ledger keeps.

| module | owns |
| --- | --- |
| `report` | what is compared, and what was found |
| `order` | the order of application, put aside in a file |
| `shelves`, `packing` | the state of a tenant: in memory, as far as it was used last, and in files |
| `versions` | which configuration and rules were in force |
| `reading` | a command and its outcome, as the domain takes them |
| `rows` | what was decided, in the form of the rows that are kept |
| `pieces` | commands, read in pieces, with the rows of their time |
| `comparing`, `outcomes`, `standing` | rows against rows; outcomes; what stands in the end |
| `tenant` | one tenant, from its first command to what stands in the end |
| `audit` | all of them, with progress |

Deciding itself is pure and elsewhere: `domain/decisions/replay.py`.
"""
