"""The changelog grows by fragments in their own files, so two branches never conflict in one line."""

import subprocess

import pytest

from tests.docs.blocks import ROOT

FRAGMENTS = sorted(path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md")
_TYPES = {".added", ".changed", ".fixed", ".removed", ".security"}
_MOST_WORDS = 40


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda path: path.name)
def test_a_fragment_is_a_short_sentence_of_a_known_type(fragment) -> None:
    text = fragment.read_text().strip()
    assert fragment.suffix == ".md"
    assert set(fragment.with_suffix("").suffixes) <= _TYPES
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text.split()) <= _MOST_WORDS


def test_a_branch_that_changes_the_library_has_a_fragment_or_no_changelog() -> None:
    base = _git("merge-base", "main", "HEAD")
    if not base or base == _git("rev-parse", "HEAD"):
        pytest.skip("there is no branch to compare with main")
    changed = _git("diff", "--name-only", base).splitlines()
    if any(name.startswith("src/pointledger/") for name in changed):
        assert any(name.startswith("changelog.d/") for name in changed) or "no-changelog" in _git(
            "log", f"{base}..HEAD"
        )
