"""Checks for versions with known bugs that affect the ledger."""

from importlib.metadata import PackageNotFoundError, version

from pointledger.observability.doctor.findings import Finding, fine, warning

_POSTGRES = (15, 18)  # the oldest and the newest tested major

# The first minor release of each major without CVE-2025-12818: libpq writes past its buffers.
_POSTGRES_FIXED = {15: 15, 16: 11, 17: 7, 18: 1}

# The first release of each line without CVE-2025-49844: a script can run native code in the server, and any
# client can run scripts. Debian patches its 7.0.15 without a new version number.
_REDIS_FIXED = {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
_VALKEY_FIXED = {(7, 2): 11, (8, 0): 6, (8, 1): 4}
_REDIS_OLDEST = (7, 0)  # the oldest version on which Celery's scripts and the ledger's are tested

# package: the first good version, and the bug of those before it
_PACKAGES = {
    "celery": ((5, 7), "a worker that loses its connection receives no more messages"),
    "kombu": ((5, 7), "a worker that loses its connection receives no more messages"),
    "pyjwt": ((2, 13), "a key could be used with another key's algorithm (CVE-2026-48523)"),
}


def packages() -> list[Finding]:
    """Check the installed Python packages."""
    old = []
    for name, (first_good, bug) in _PACKAGES.items():
        try:
            found = version(name)
        except PackageNotFoundError:  # it belongs to an extra that is not installed
            continue
        if _numbers(found)[:2] < first_good:
            old.append(f"{name} {found}: {bug}")
    if old:
        return [warning("packages", "; ".join(old), "Install the versions in requirements.lock.")]
    return [fine("packages", "no version with a known bug")]


def postgres(number: int) -> Finding:
    """Check Postgres' version, given as a number like 170004."""
    major, minor = divmod(number, 10_000)
    seen = f"Postgres {major}.{minor}"
    oldest, newest = _POSTGRES
    if not oldest <= major <= newest:
        return warning("postgres-version", f"{seen} is not tested", f"Use {oldest} to {newest}.")
    fixed = _POSTGRES_FIXED[major]
    if minor < fixed:
        return warning("postgres-version", f"{seen} has CVE-2025-12818", f"Upgrade to {major}.{fixed}.")
    return fine("postgres-version", seen)


def redis(check: str, info: dict[str, object]) -> Finding:
    """Check the version of Redis or Valkey, given the server's INFO."""
    is_valkey = "valkey_version" in info
    name = "Valkey" if is_valkey else "Redis"
    found = str(info["valkey_version"] if is_valkey else info["redis_version"])
    seen = f"{name} {found}"
    numbers = _numbers(found)
    if numbers[:2] < _REDIS_OLDEST:
        return warning(check, f"{seen} is not tested", "Use Redis 7, or Valkey 8 or newer.")
    fixed = (_VALKEY_FIXED if is_valkey else _REDIS_FIXED).get((numbers[0], numbers[1]), 0)
    if numbers[2] < fixed:
        upgrade = f"Upgrade to {numbers[0]}.{numbers[1]}.{fixed}."
        return warning(check, f"{seen} has CVE-2025-49844", upgrade)
    return fine(check, seen)


def _numbers(text: str) -> tuple[int, ...]:
    """Parse three numbers. A part that is missing or not a number becomes 0."""
    parts = text.replace("-", ".").split(".")[:3]
    found = [int(part) if part.isdigit() else 0 for part in parts]
    return tuple(found + [0] * (3 - len(found)))
