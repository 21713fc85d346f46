"""A reader who does what the README or a page of the tutorial says gets what it shows."""

import pytest

from tests.docs.blocks import pages
from tests.docs.conftest import Read


@pytest.mark.parametrize("page", ["README.md", *pages("tutorial")])
def test_each_block_of_the_page_does_what_it_says(page: str, read: Read) -> None:
    read(page)
