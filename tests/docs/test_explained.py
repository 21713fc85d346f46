"""The pages in `docs/explanation` and `docs/operate` name only things that exist.

The tests check files, links, commands, variables, checks, metrics and log events.
"""

import re
import shlex
from pathlib import Path

import pytest

from pointledger import Settings
from pointledger.api import metrics as api_metrics
from pointledger.observability.doctor import examine
from pointledger.observability.metrics import Exporter
from tests.cli.conftest import Run
from tests.ledger import Ledger

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*(DOCS / "explanation").rglob("*.md"), *(DOCS / "operate").rglob("*.md")])
READMES = [ROOT / folder / "README.md" for folder in ("src", "workers", "schedules", "tests")]
_FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"[\w./*-]+/[\w.*-]+\.(?:py|md|yml|toml|png)|[\w-]+\.(?:yml|lock)")
_SAMPLES = ("_total", "_bucket", "_sum", "_count")
_ELSEWHERE = ("guides", "reference")  # whose pages the strict build checks


def _text(page: Path) -> str:
    return page.read_text()


def _prose(page: Path) -> str:
    return _FENCE.sub("", _text(page))


def _code(page: Path) -> list[str]:
    """Return the texts between backticks."""
    return re.findall(r"`([^`\n]+)`", _prose(page))


def _slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as Markdown renderers derive them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _page_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=_page_name)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^) ]+)\)", _prose(page)):
        path, _, anchor = target.partition("#")
        if "://" in path or path.startswith(tuple(f"../{folder}/" for folder in _ELSEWHERE)):
            continue
        if path.startswith(tuple(f"../../{folder}/" for folder in _ELSEWHERE)):
            continue
        linked_page = (page.parent / path).resolve() if path else page
        assert linked_page.exists() or linked_page.name == "security-policy.md", target
        if anchor:
            assert anchor in _slugs(linked_page), target


@pytest.mark.parametrize("page", [*PAGES, *READMES], ids=_page_name)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    places = [ROOT, ROOT / "src", ROOT / "src" / "pointledger", ROOT / "tests", page.parent]
    for code in _code(page):
        if _FILE.fullmatch(code) and not code.startswith("/"):
            assert any(list(place.glob(code)) for place in places), code


def test_every_page_has_a_link_from_another_page() -> None:
    texts = {page: _text(page) for page in [*PAGES, *READMES]}
    for page in PAGES:
        others = [text for other, text in texts.items() if other != page]
        assert any(re.search(rf"[(/]{re.escape(page.name)}[#)]", text) for text in others), _page_name(page)


def test_every_command_line_exists(run: Run) -> None:
    lines = [code for page in PAGES for code in _code(page) if code.startswith("pointledger ")]
    for page in PAGES:
        blocks = re.findall(r"```sh no-run\n(.*?)```", _text(page), re.DOTALL)
        lines += [line.strip() for block in blocks for line in block.splitlines()]
    arguments = {tuple(shlex.split(line.split("#")[0])) for line in lines if "pointledger " in line}
    called = {words[words.index("pointledger") + 1 :] for words in arguments if "pointledger" in words}
    assert len(called) >= 20
    for words in sorted(called):
        names = [word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)]
        command = names[:2] if words[0] in ("tenant", "rule", "dead", "jobs") else names[:1]
        help_text = run(*command, "--help")
        assert help_text.status == 0, words
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in help_text.stdout, words


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    named = {
        name.lower()
        for page in [*PAGES, *READMES]
        for name in re.findall(r"POINTLEDGER_([A-Z_]+)", _text(page))
    }
    of_tests = {name for name in named if name.startswith(("test_", "failpoints"))}
    fields = set(Settings.model_fields)
    assert named - of_tests <= fields | {f"{field}_file" for field in fields}


def test_every_check_of_the_doctor_has_a_runbook(settings: Settings) -> None:
    """The checks are those of three separate servers, and of unreachable servers."""
    base = settings.redis.rpartition("/")[0]
    separate = settings.model_copy(update={"broker_url": f"{base}/14", "events_url": f"{base}/15"})
    nowhere = "redis://127.0.0.1:1"
    unreachable = separate.model_copy(
        update={
            "database_url": "postgresql://nobody@127.0.0.1:1/none",
            "redis_url": f"{nowhere}/0",
            "broker_url": f"{nowhere}/1",
            "events_url": f"{nowhere}/2",
        }
    )
    checks = {finding.check for given in (separate, unreachable) for finding in examine(given).findings}
    listed = set(_code(DOCS / "operate" / "runbooks" / "index.md"))
    assert len(checks) >= 35
    assert checks <= listed, checks - listed


def test_every_metric_that_a_page_names_is_served(ledger: Ledger) -> None:
    exported = Exporter(ledger.database, ledger.redis, ledger.settings).collect()
    served = {metric.name for metric in [*exported, *api_metrics.REGISTRY.collect()]}
    named: set[str] = set()
    for page in PAGES:
        named |= set(re.findall(r"\bpointledger_[a-z_]+\b", _text(page)))
    named -= {"pointledger_app", "pointledger_worker"}  # roles
    assert len(named) >= 20
    served |= {f"{name}{suffix}" for name in served for suffix in _SAMPLES}
    assert named <= served | {"pointledger_beat_age_seconds"}, named - served


def test_every_log_event_that_the_monitoring_page_names_is_logged() -> None:
    table = _text(DOCS / "operate" / "monitor.md").split("| event | means")[1].split("\n\n")[0]
    named = {event for row in table.splitlines() for event in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert len(named) >= 10
    sources = [*(ROOT / "src" / "pointledger").rglob("*.py"), *(ROOT / "workers").glob("*.py")]
    code = "\n".join(source.read_text() for source in sources)
    assert [event for event in sorted(named) if f'"{event}"' not in code] == []
