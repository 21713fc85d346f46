"""A reader who does what a guide says gets what it shows. Each guide is read on a fresh system, with the
program of the tutorial's first page."""

import pytest

from tests.docs.blocks import pages
from tests.docs.conftest import Read


@pytest.mark.parametrize("page", pages("guides"))
def test_each_block_of_the_guide_does_what_it_says(page: str, read: Read) -> None:
    read(page)
