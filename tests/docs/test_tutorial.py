"""Each block of the README and the tutorial gives the output that the page shows."""

import pytest

from tests.docs.blocks import pages
from tests.docs.conftest import ReadPage


@pytest.mark.parametrize("page", ["README.md", *pages("tutorial")])
def test_each_block_of_the_page_gives_the_output_that_it_shows(page: str, read: ReadPage) -> None:
    read(page)
