"""The pages of which `./dev pictures` makes pictures. Making them takes a minute, so no test does it."""

from typer import Typer
from typer.testing import CliRunner

from pointledger.api.console.roles import NAVIGATION
from pointledger_demo import pictures
from pointledger_demo.pages import PAGES


def test_every_page_of_the_navigation_has_a_picture() -> None:
    missing = [item.path for item in NAVIGATION if not any(page.path.startswith(item.path) for page in PAGES)]
    assert not missing


def test_an_unknown_page_is_refused_with_the_names_of_those_there_are() -> None:
    app = Typer()
    app.command()(pictures.main)
    result = CliRunner().invoke(app, ["nothing"])
    assert result.exit_code == 2
    assert "'nothing'" in result.output and "member" in result.output
