"""Versions with bugs that concern a ledger. A version that is not here has none that we know of."""

from importlib.metadata import PackageNotFoundError, version

from pointledger.observability.doctor.findings import Finding, fine, warning

_POSTGRES = (15, 18)  # majors that the tests run on, both included

# The first minor release of each major without CVE-2025-12818: libpq writes beyond its buffers.
_POSTGRES_FIXED = {15: 15, 16: 11, 17: 7, 18: 1}

# The first release of each line without CVE-2025-49844: a script runs code of its own in the server; and
# whoever reaches the server may run scripts. Debian mends its 7.0.15 without a new number.
_REDIS_FIXED = {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
_VALKEY_FIXED = {(7, 2): 11, (8, 0): 6, (8, 1): 4}
_REDIS_OLDEST = (7, 0)  # what the broker's scripts and ours are tested on

# package: the first good version, and what is wrong with those before it
_PACKAGES = {
    "celery": ((5, 7), "a worker that has lost its connection takes no message any more"),
    "kombu": ((5, 7), "a worker that has lost its connection takes no message any more"),
    "pyjwt": ((2, 13), "a key could be used with another's algorithm (CVE-2026-48523)"),
}


def packages() -> list[Finding]:
    """Python packages, as they are installed here."""
    old = []
    for name, (first_good, bug) in _PACKAGES.items():
        try:
            found = version(name)
        except PackageNotFoundError:  # of an extra
            continue
        if _numbers(found)[:2] < first_good:
            old.append(f"{name} {found}: {bug}")
    if old:
        return [warning("packages", "; ".join(old), "Install the versions of requirements.lock.")]
    return [fine("packages", "no version with a bug that we know of")]


def postgres(number: int) -> Finding:
    """`number` like 170004."""
    major, minor = divmod(number, 10_000)
    seen = f"Postgres {major}.{minor}"
    oldest, newest = _POSTGRES
    if not oldest <= major <= newest:
        return warning("postgres-version", f"{seen}: not one of those tested", f"Use {oldest} to {newest}.")
    fixed = _POSTGRES_FIXED[major]
    if minor < fixed:
        return warning("postgres-version", f"{seen} has CVE-2025-12818", f"Upgrade to {major}.{fixed}.")
    return fine("postgres-version", seen)


def redis(check: str, info: dict[str, object]) -> Finding:
    """Of Redis or Valkey, by what it says of itself."""
    is_valkey = "valkey_version" in info
    name = "Valkey" if is_valkey else "Redis"
    found = str(info["valkey_version"] if is_valkey else info["redis_version"])
    seen = f"{name} {found}"
    numbers = _numbers(found)
    if numbers[:2] < _REDIS_OLDEST:
        return warning(check, f"{seen}: not one of those tested", "Use Redis 7, or Valkey 8 or newer.")
    fixed = (_VALKEY_FIXED if is_valkey else _REDIS_FIXED).get((numbers[0], numbers[1]), 0)
    if numbers[2] < fixed:
        upgrade = f"Upgrade to {numbers[0]}.{numbers[1]}.{fixed}."
        return warning(check, f"{seen} has CVE-2025-49844", upgrade)
    return fine(check, seen)


def _numbers(text: str) -> tuple[int, ...]:
    """Three of them; what is no number counts as none."""
    parts = text.replace("-", ".").split(".")[:3]
    found = [int(part) if part.isdigit() else 0 for part in parts]
    return tuple(found + [0] * (3 - len(found)))
