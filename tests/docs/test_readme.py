"""What the README says is so: its blocks run, its tables are complete."""

import re
import shlex
from pathlib import Path

import pytest

from pointledger import Reason, Settings
from pointledger.api.auth.permissions import TABLE
from pointledger.domain.program.rule import rule_from
from pointledger.domain.program.tenant import Tenant
from pointledger.domain.values.json_values import read_json
from tests.cli.conftest import Run, Working
from tests.ledger import Ledger

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
READMES = (
    "README.md",
    "src/README.md",
    "workers/README.md",
    "schedules/README.md",
    "tests/README.md",
    "tests/bench/README.md",
    "tests/chaos/README.md",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_ten_lines_of_python_run_and_print_points(
    environment: None, ledger: Ledger, working: Working, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.rule(
        name="a point per euro",
        event_type="basket.paid",
        base={"kind": "per_unit", "field": "amount_minor", "per": 100, "points": 1},
    )
    with working():
        exec(blocks("python")[0], {})
    assert "applied 19" in capsys.readouterr().out


def test_the_programme_of_the_readme_is_put_from_the_shell(run: Run) -> None:
    for piped in re.findall(r"echo '(.*?)' \| pointledger (.*?)$", blocks("sh")[0], re.MULTILINE | re.DOTALL):
        done = run(*shlex.split(piped[1]), stdin=piped[0])
        assert done.status == 0, done.stderr


def test_the_rule_in_full_is_the_one_that_the_flat_names_abbreviate() -> None:
    flat = re.findall(r"echo '(\{\"name\".*?\})' \|", blocks("sh")[0], re.DOTALL)[0]
    full = blocks("json")[0]
    short, long = (rule_from(read_json(text, decimals=True)) for text in (flat, full))
    assert short.model_copy(update={"priority": 10}) == long


def test_all_of_a_rule_is_a_rule_and_nothing_is_left_out() -> None:
    fields = read_json(blocks("json")[1], decimals=True)
    body = rule_from(fields)
    assert set(fields) == set(type(body).model_fields)
    assert set(fields["award"]) == set(type(body.award).model_fields)
    for told in ("stack", "exclusive", "best_of", "fixed", "per_unit", "table", "formula", "half_even"):
        assert f"`{told}`" in README


def test_every_command_line_of_the_readme_is_one_that_the_program_knows(run: Run) -> None:
    lines = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines()]
    inline = re.findall(r"`(pointledger [a-z][^`]*)`", README)
    called = {
        tuple(re.findall(r"^[a-z][a-z-]*$", "\n".join(shlex.split(line)[1:3]), re.MULTILINE))
        for line in [*lines, *inline]
        if line.strip().startswith("pointledger ")
    }
    assert len(called) >= 8
    for words in called:
        asked = words if words[0] in ("tenant", "rule", "dead", "sweep") else words[:1]
        assert run(*asked, "--help").status == 0, asked


def test_every_curl_of_the_readme_is_a_route_of_the_gateway() -> None:
    asked = re.findall(r"^curl .*http://127.0.0.1:8000([^' ?\n]*)(.*)$", README, re.MULTILINE)
    assert len(asked) >= 6
    paths = {(method, re.sub(r"\{[a-z_]+\}", "[^/]+", path)) for method, path in TABLE}
    for path, rest in asked:
        method = "POST" if "--json" in rest else "GET"
        assert any(method == known and re.fullmatch(pattern, path) for known, pattern in paths), path


def test_every_reason_stands_in_the_readme_in_order_of_precedence() -> None:
    table = README.split("| reason | means |")[1].split("\n\n")[0]
    assert re.findall(r"`([A-Z_]+)`", table) == [reason.value for reason in Reason]


def test_every_field_of_a_tenant_stands_in_the_readme() -> None:
    table = README.split("| tenant's field |")[1].split("\n\n")[0]
    told = set(re.findall(r"`([a-z_]+)`", table))
    assert set(Tenant.model_fields) - {"tenant_id"} <= told


def test_every_variable_that_the_readme_names_is_a_setting() -> None:
    named = {name.lower() for name in re.findall(r"POINTLEDGER_([A-Z_]+)", README)}
    assert named <= set(Settings.model_fields)


def test_each_guarantee_links_to_the_test_that_shows_it() -> None:
    guarantees = README.split("Six guarantees")[1].split("\n\n")[1]
    shown = re.findall(r'\]\((tests/[a-z_/]+\.py) "(test_[a-z0-9_]+)"\)', guarantees)
    assert len(shown) == 6
    for path, name in shown:
        assert f"def {name}(" in (ROOT / path).read_text()


@pytest.mark.parametrize("readme", READMES)
def test_every_picture_and_file_that_a_readme_links_to_is_there(readme: str) -> None:
    targets = re.findall(r"\]\(([^) ]+)", (ROOT / readme).read_text())
    files = {target.partition("#")[0] for target in targets if "://" not in target} - {""}
    assert [file for file in files if not (ROOT / readme).parent.joinpath(file).exists()] == []
