"""Storage: every SQL statement of the ledger, and nothing else.

| module      | owns                                                                  |
| ----------- | --------------------------------------------------------------------- |
| database    | connections, transactions and their time-outs, which errors pass      |
| journal     | accepting commands, what waits                                        |
| lanes       | the fence of order, and drains that did not end                       |
| batches     | batches of commands that came as one                                  |
| pauses      | tenants whose commands wait                                           |
| failures    | commands that failed, the dead, and what was no command               |
| books       | the accounts of a batch: load, save                                   |
| lots, usage | two of its parts: lots, and windows of users' limits                  |
| shared_usage | the counters of limits that all users share                          |
| programmes  | tenants and rules, versioned                                          |
| queries     | what people ask: accounts, entries, outcomes                          |
| past        | an account as it was                                                  |
| expiring    | what is going to expire                                               |
| statistics  | figures of a user and of a tenant                                     |
| traces      | how an entry came about; everything about one user                    |
| jobs        | periodic runs, a row each; what is due                                |
| invariants* | the queries that must find nothing                                    |
| migrate     | bringing a database to this version                                   |

One statement per function, named for the question that it answers. Row locks are taken in this order
everywhere: lane, accounts and then wallets (by tenant and user), counters of shared limits (by their key).
"""
