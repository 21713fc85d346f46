"""The commands, routes, settings, tests and files in the README, the tutorial and the guides exist."""

import re

import pytest

from pointledger import Settings
from pointledger.api.auth.permissions import TABLE
from pointledger.domain.program.rule import rule_from
from pointledger.domain.values.json_values import read_json
from tests.cli.conftest import Run
from tests.docs.blocks import ROOT, blocks_of, pages

README = (ROOT / "README.md").read_text()
PAGES = ("README.md", *pages("tutorial"), *pages("guides"))
READMES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "src/README.md",
    "workers/README.md",
    "schedules/README.md",
    "tests/README.md",
    "tests/bench/README.md",
    "tests/chaos/README.md",
)
_README_LINES = 150
_GROUPS = ("tenant", "rule", "dead", "sweep", "wallet")  # of commands on the command line


def _text(page: str) -> str:
    return (ROOT / page).read_text()


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= _README_LINES


def test_each_guarantee_links_to_its_test() -> None:
    guarantees = README.split("## Guarantees")[1].split("## Numbers")[0]
    shown = re.findall(r'\]\((tests/[a-z_/]+\.py) "(test_[a-z0-9_]+)"\)', guarantees)
    assert len(shown) == 6
    for path, name in shown:
        assert f"def {name}(" in _text(path)


@pytest.mark.parametrize("readme", READMES)
def test_every_picture_and_file_that_a_readme_links_to_exists(readme: str) -> None:
    targets = re.findall(r"\]\(([^) ]+)|(?:src|srcset)=\"([^\"]+)", _text(readme))
    files = {"".join(target).partition("#")[0] for target in targets if "://" not in "".join(target)} - {""}
    assert [file for file in files if not (ROOT / readme).parent.joinpath(file).exists()] == []


def test_the_dark_picture_differs_from_the_light_one_only_in_colors() -> None:
    light, dark = (_text(f"docs/assets/pipeline-{name}.svg") for name in ("light", "dark"))
    without_colors = [re.sub("#[0-9a-f]{6}", "", picture) for picture in (light, dark)]
    assert light != dark
    assert without_colors[0] == without_colors[1]


def test_every_command_line_exists(run: Run) -> None:
    inline = [code for page in PAGES for code in re.findall(r"`(pointledger [a-z][^`]*)`", _text(page))]
    blocks = [each.text for page in PAGES for each in blocks_of(page) if each.language == "sh"]
    lines = [*inline, *(line.strip().split(" #")[0] for text in blocks for line in text.splitlines())]
    called = {_words(line) for line in lines if line.startswith("pointledger ")}
    assert len(called) >= 25
    for words in sorted(called):
        command = words[:2] if words[0] in _GROUPS else words[:1]
        assert run(*command, "--help").status == 0, command


def _words(line: str) -> tuple[str, ...]:
    """Return the command and its subcommand."""
    first = line.partition("<<")[0].replace("'", " ").replace('"', " ").split()[1:3]
    return tuple(word for word in first if re.fullmatch(r"[a-z][a-z-]*", word))


def test_every_curl_is_a_route_of_the_api() -> None:
    text = "\n".join(map(_text, PAGES))
    requests = re.findall(r"^curl .*http://127.0.0.1:8000([^' ?\n]*)(.*)$", text, re.MULTILINE)
    assert len(requests) >= 6
    paths = {(method, re.sub(r"\{[a-z_]+\}", "[^/]+", path)) for method, path in TABLE}
    for path, rest in requests:
        method = "POST" if "--json" in rest else "GET"
        assert any(method == known and re.fullmatch(pattern, path) for known, pattern in paths), path


def test_every_variable_that_a_page_names_is_a_setting() -> None:
    text = "\n".join(map(_text, PAGES))
    named = {name.lower() for name in re.findall(r"POINTLEDGER_([A-Z_]+)", text)}
    assert len(named) >= 10
    assert named <= set(Settings.model_fields)


def test_the_rule_of_the_guide_is_the_one_that_the_tutorial_abbreviates() -> None:
    flat, nested = (
        next(each.text for each in blocks_of(page) if '"a point per euro"' in each.text)
        for page in ("docs/tutorial/first-points.md", "docs/guides/write-rules.md")
    )
    assert _rule_in(flat) == _rule_in(nested)


def _rule_in(shell: str) -> object:
    return rule_from(read_json(shell.split("<<'EOF'\n")[1].split("EOF", maxsplit=1)[0], decimals=True))
