"""The doctor: looks at the servers, the settings and what waits, and says of each finding what to do.

    examine -> settings -> Postgres -> Redis and brokers -> what waits -> findings

`findings.py` has what a finding is, `postgres.py` and `redis.py` what is asked of servers, `versions.py`
which of them have known bugs, `work.py` what waits, `start.py` the few findings with which nothing may start.
"""

from pointledger.observability.doctor.examine import Report, examine
from pointledger.observability.doctor.findings import Finding, Verdict
from pointledger.observability.doctor.start import require_safe

__all__ = ["Finding", "Report", "Verdict", "examine", "require_safe"]
