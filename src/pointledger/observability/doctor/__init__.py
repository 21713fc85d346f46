"""Checks servers, settings and pending work, and returns a remedy for each problem.

examine    runs all checks, in this order
versions   packages and servers with known bugs
start      the time-outs; refuses to start a process with a dangerous configuration
redis      Redis and the brokers
postgres   Postgres
work       pending and dead work, and the processes that should do it
rules      what rules cost, and those that cost most
findings   defines a finding
"""

from pointledger.observability.doctor.examine import Report, examine
from pointledger.observability.doctor.findings import Finding, Severity
from pointledger.observability.doctor.start import require_safe

__all__ = ["Finding", "Report", "Severity", "examine", "require_safe"]
