"""The site builds, and its pages are complete."""

import re
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT

pytestmark = pytest.mark.long


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere() -> None:
    built = subprocess.run(
        [sys.executable, str(ROOT / "dev"), "docs"], check=False, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout
    pages = {path: path.read_text() for path in (ROOT / ".site").rglob("*.html")}
    loaded = re.compile(r'<(?:script|link|img|source|iframe)\b[^>]*(?:src|href|srcset)="(?:https?:)?//')
    assert [str(path) for path, text in pages.items() if loaded.search(text)] == []
    # The front page includes parts of the README, with links relative to the front page.
    front = pages[ROOT / ".site" / "index.html"]
    assert "Lost tasks." in front
    assert [target for target in re.findall(r'href="([^"]*)"', front) if target.startswith("docs/")] == []
    assert "no-run" not in "".join(pages[path] for path in pages if "contributing" not in str(path))
