"""Each guide's blocks give the output that the guide shows.

Each guide runs on a new system with the program of the tutorial's first page. `test_shops.py` has those that
start a shop of `examples`.
"""

import pytest

from tests.docs.blocks import pages
from tests.docs.conftest import ReadPage
from tests.docs.test_shops import SHOPS


@pytest.mark.parametrize("page", [page for page in pages("guides") if page not in SHOPS])
def test_each_block_of_the_guide_gives_the_output_that_it_shows(page: str, read: ReadPage) -> None:
    read(page)
