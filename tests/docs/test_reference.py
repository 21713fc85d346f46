"""The pages of docs/reference are generated from the code, and they are complete."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import pointledger
from docs.generate.__main__ import RUN, differences, main
from docs.generate.cli import cli_page
from docs.generate.commands import commands_page
from docs.generate.database import database_page
from docs.generate.decisions import reasons_of
from docs.generate.docstrings import attribute_docs
from docs.generate.errors import errors
from docs.generate.metrics import described
from docs.generate.models import models_in
from docs.generate.pages import DATABASE, PAGES, REFERENCE
from docs.generate.prose_files import ProseDiffers, sections
from docs.generate.settings import groups, variable
from pointledger import Settings
from pointledger.domain.commands import KINDS, Command, outcomes
from pointledger.domain.commands.outcomes import Reason
from pointledger.domain.events.celery_rejections import TaskReject
from pointledger.domain.events.ingested import IncomingEvent, RejectReason
from pointledger.domain.program.awards import Award
from pointledger.domain.program.rule import RuleBody, rule_from
from pointledger.domain.program.tenant import Tenant
from pointledger.errors import LedgerError
from pointledger.messaging import redis_client
from pointledger.observability.metrics import Exporter
from tests.ledger import Ledger
from tests.model.model_run import run_model
from tests.model.runs import histories

ROOT = Path(__file__).parents[2]
SEED = 20261173

# Refusals that random histories reach too rarely for this test.
RARE = {
    ("adjust", "FIGURE_TOO_LARGE"),
    ("apply-expiry-policy", "ACCOUNT_NOT_FOUND"),
    ("apply-rule", "FIGURE_TOO_LARGE"),
    ("clawback", "FIGURE_TOO_LARGE"),
    ("confirm-deduction", "FEATURE_DISABLED"),
    ("erase-user", "TENANT_UNKNOWN"),
    ("exchange", "CURRENCY_MISMATCH"),
    ("exchange", "FIGURE_TOO_LARGE"),
    ("exchange", "MAX_BALANCE"),
    ("expire-due", "TENANT_UNKNOWN"),
    ("set-expiry-exemption", "ACCOUNT_CLOSED"),
    ("set-expiry-exemption", "ACCOUNT_ERASED"),
    ("set-status", "ACCOUNT_ERASED"),
    ("wallet-adjust", "FIGURE_TOO_LARGE"),
    ("wallet-adjust", "MAX_BALANCE"),
}


def written(name: str) -> str:
    return (REFERENCE / name).read_bytes().decode()


# ------------------------------------------------------------------------------- pages match the code


@pytest.mark.parametrize("name", PAGES)
def test_each_page_matches_the_code(name: str) -> None:
    assert written(name) == PAGES[name](), f"docs/reference/{name} does not match the code: {RUN}"


def test_the_page_about_the_database_matches_a_migrated_database(owner_url: str) -> None:
    page = database_page(owner_url)
    assert written(DATABASE) == page, f"docs/reference/{DATABASE} does not match the code: {RUN}"


def test_every_page_is_generated() -> None:
    there = {path.relative_to(REFERENCE).as_posix() for path in REFERENCE.rglob("*") if path.is_file()}
    assert there == {*PAGES, DATABASE}


@pytest.mark.long
def test_pages_do_not_depend_on_the_environment_or_hash_order() -> None:
    program = (
        "import json; from docs.generate.pages import PAGES; print(json.dumps([m() for m in PAGES.values()]))"
    )
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "COLUMNS": "40"}
    environment |= {"POINTLEDGER_LANES": "3", "POINTLEDGER_HTTP_DOCS": "false", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    assert json.loads(done.stdout) == [written(name) for name in PAGES]


def test_changed_missing_and_extra_pages_are_named(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    for name, text in {"same.md": "a", "changed.md": "b", "python/old.md": "c"}.items():
        (tmp_path / name).write_text(text)
    made = {"same.md": "a", "changed.md": "B", "python/new.md": "d"}
    assert differences(made, tmp_path) == ["changed.md", "python/new.md", "python/old.md"]


def test_help_describes_the_check_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--check" in capsys.readouterr().out


def test_prose_with_an_unknown_or_missing_section_is_refused() -> None:
    with pytest.raises(ProseDiffers, match=r"names nothing: .*earn"):
        sections("commands.md", {"every command"})
    with pytest.raises(ProseDiffers, match=r"missing: .*fly"):
        sections("tables.md", {"fly"}, all_of_them=True)


# --------------------------------------------------------------------------------------- completeness


def test_every_field_that_people_write_has_a_description() -> None:
    written_by_people = [*KINDS.values(), RuleBody, Tenant, Settings, IncomingEvent]
    models: list[type[BaseModel]] = [*written_by_people, *models_in(*written_by_people)]
    undocumented = [
        f"{model.__name__}.{name}"
        for model in models
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert undocumented == []
    assert [model.__name__ for model in models if not model.__doc__] == []


@pytest.mark.parametrize("reasons", [Reason, TaskReject, RejectReason])
def test_every_reason_has_a_meaning(reasons: Any) -> None:
    assert list(attribute_docs(reasons)) == [reason.name for reason in reasons]


def test_every_reason_has_a_meaning_and_a_remedy_in_order_of_precedence() -> None:
    assert all(text.count("\n\n") == 1 for text in attribute_docs(Reason).values())
    headings = re.findall(r"^## ([A-Z_]+)$", written("refusals.md"), re.MULTILINE)
    assert headings == [*(reason.value for reason in Reason), outcomes.CANCELLED]


def test_every_command_kind_has_a_section_with_all_fields() -> None:
    parts = re.split(r"^## (.+)$", commands_page(), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    for kind, model in KINDS.items():
        own = model.model_fields.keys() - Command.model_fields.keys()
        assert own == set(re.findall(r"^- \*\*`(\w+)`\*\* \*\(", found[kind], re.MULTILINE))


def test_every_setting_belongs_to_one_group_and_is_on_the_page_by_its_variable() -> None:
    of_groups = [name for group in groups() for name in group.model_fields]
    assert sorted(of_groups) == sorted(Settings.model_fields)
    page = written("settings.md")
    assert all(f"**`{variable(name)}`**" in page for name in Settings.model_fields)


def test_every_cli_command_has_help_for_all_its_parameters() -> None:
    assert not re.findall(r"^- .*: (None)?$", cli_page(), re.MULTILINE)
    assert not re.findall(r"^## .*\n\n`.*`\n\n- ", cli_page(), re.MULTILINE), "a command without help"


def test_every_error_of_the_package_is_on_the_page() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "src" / "pointledger").rglob("*.py"))
    named = re.findall(r"^class (\w+)\((?:LedgerError|BacklogFull)\b", source, re.MULTILINE)
    assert {error.__name__ for error in errors()} == {*named, LedgerError.__name__}


def test_the_rule_in_full_is_a_rule_and_leaves_nothing_out() -> None:
    (block,) = re.findall(r"^```json RuleBody\n(.*?)^```", written("rules.md"), re.MULTILINE | re.DOTALL)
    fields = json.loads(block)
    rule_from(fields)
    assert set(fields) == set(RuleBody.model_fields)
    assert set(fields["award"]) == set(Award.model_fields)


def test_every_link_between_pages_leads_to_a_page_and_a_heading() -> None:
    pages = {name: written(name) for name in (*PAGES, DATABASE) if name.endswith(".md")}
    anchors = {name: set(_anchors(text)) for name, text in pages.items()}
    for name, text in pages.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
            if "://" in target:
                continue
            file, _, fragment = target.partition("#")
            path = (REFERENCE / name).parent / file if file else REFERENCE / name
            assert path.is_file(), f"{name}: {target}"
            if fragment:
                assert fragment in anchors[path.resolve().relative_to(REFERENCE).as_posix()], (
                    f"{name}: {target}"
                )


def _anchors(text: str) -> Iterator[str]:
    """Derive anchors as GitHub does, independently of the generator."""
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        yield "".join(
            character
            for character in title.lower().replace(" ", "-")
            if character.isalnum() or character in "-_"
        )


# ---------------------------------------------------------------------------------- independent sources


def refused_by_the_model(worlds: int) -> set[tuple[str, str]]:
    """Return the kind and reason of each refusal by the model, which was written from the specification."""
    found = set()
    for history in histories(SEED, 0, worlds, 100):
        outcomes_by_label = run_model(history).outcomes
        for send in (send for each in history.rounds for send in each.sends):
            outcome = outcomes_by_label.get(send.label)
            if outcome and outcome.state == "refused":
                found.add((send.kind, str(outcome.reason)))
    return found


def test_a_command_is_refused_only_for_the_reasons_on_its_page() -> None:
    listed = {(kind, reason.value) for kind, model in KINDS.items() for reason in reasons_of(model)}
    found = refused_by_the_model(worlds=200)
    assert found - listed == set()
    assert listed - found - RARE == set()


def test_every_metric_that_is_exported_is_on_the_page_with_its_labels(ledger: Ledger) -> None:
    ledger.tenant()
    ledger.apply(pointledger.Earn(tenant_id="shop", user_id="anna", amount=1))
    client = redis_client.connect(ledger.settings)
    ledger.doorbells.record_beat()
    exported = {
        metric.name: metric for metric in Exporter(ledger.database, client, ledger.settings).collect()
    }
    documented = {each.name.removesuffix("_total"): each for each in described()}
    assert exported.keys() == documented.keys()
    for name, metric in exported.items():
        labels = {label for sample in metric.samples for label in sample.labels} - {"le"}
        assert labels <= set(documented[name].labels), name
        assert (metric.type, metric.documentation) == (documented[name].type, documented[name].meaning)


# -------------------------------------------------------------------------------- the public names


def test_the_python_pages_list_each_public_name_once() -> None:
    listed = [
        name
        for path in sorted((REFERENCE / "python").glob("*.md"))
        for name in re.findall(r"^::: pointledger\.(\w+)$", path.read_text(), re.MULTILINE)
    ]
    assert sorted(listed) == sorted(pointledger.__all__)


def test_every_public_name_method_and_field_is_documented() -> None:
    undocumented = [name for name in pointledger.__all__ if not _is_documented(name)]
    for name in pointledger.__all__:
        shown = getattr(pointledger, name)
        undocumented += [f"{name}.{field}" for field in _fields(shown) if field not in attribute_docs(shown)]
        undocumented += [
            f"{name}.{method}" for method in _methods(shown) if not inspect.getdoc(getattr(shown, method))
        ]
    assert undocumented == []


def _is_documented(name: str) -> bool:
    """Return whether a name has its own docstring, not just the signature that a dataclass gets."""
    shown = getattr(pointledger, name)
    if inspect.isclass(shown) or inspect.isfunction(shown):
        return not (shown.__doc__ or f"{name}(").startswith(f"{name}(")
    module = sys.modules[KINDS["earn"].__module__.rpartition(".")[0]]
    return name in attribute_docs(module)


def _fields(shown: Any) -> list[str]:
    """Return the fields of a dataclass or named tuple. Another test checks pydantic models."""
    if dataclasses.is_dataclass(shown):
        return [field.name for field in dataclasses.fields(shown)]
    return list(getattr(shown, "_fields", ()))


def _methods(shown: object) -> list[str]:
    """Return the public methods and properties that pointledger defines."""
    if not inspect.isclass(shown):
        return []
    own_classes = [base for base in shown.__mro__ if base.__module__.startswith("pointledger.")]
    return [
        name
        for base in own_classes
        for name, value in vars(base).items()
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, property))
    ]
