"""The domain: what points are and what commands do to them. Pure: no IO, no clock, no logging.

| module       | owns                                                                |
| ------------ | ------------------------------------------------------------------- |
| commands     | the kinds of command and what makes one valid                       |
| fields       | what an id, a moment, an amount and a text are                      |
| findings     | what is wrong with something malformed                              |
| tenants      | a tenant's configuration and calendar                               |
| rules        | from an event to the points it wants to grant                       |
| limits       | windows of the calendar and how much of them is used                |
| lots         | points that expire together, and the order they are consumed in     |
| holds        | points set aside, and the lots that they are in                     |
| book         | the accounts of a batch in memory; the one place a balance changes  |
| holding      | freezing, capturing, releasing and timing out on the book           |
| guards       | refusals that several kinds share                                   |
| decide       | one command against the book: guards in order, then the deed        |
| passing      | what time does to an account, and what debits do to its lots        |
| pending      | points that are granted and not yet available                       |
| expiry_changes | moving when lots expire                                           |
| policy_changes | what a changed policy would do to lots that are there             |
| opening      | points that another system granted                                  |
| reversible   | an entry that is reversed: what it took, what was returned since    |
| reversals    | refunds and clawbacks                                               |
| apply_rule   | the largest of its cases                                            |
| decide_holds | its cases about holds                                               |
| administer   | its cases for administrators                                        |
| needs        | what a batch must have loaded before it can be decided              |
| replaying    | deciding again what was decided: batches in, decisions and state out |
| outcomes     | what came of a command; the reasons of a refusal, in order          |
| snapshots    | accounts and entries as an outcome tells them                       |
| json_values  | JSON that may enter                                                 |

The one impurity: a command that is made without an id draws one (`ids.new_id`).
"""
