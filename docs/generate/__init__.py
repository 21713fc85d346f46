"""Writes the pages of docs/reference from the code, so that they cannot lag behind it.

    __main__    python -m docs.generate [--check]
    pages       which file holds which page
    markdown    pieces of Markdown; `fields`: a pydantic model in words; `docstrings`: texts below names
    prose/      sentences that no code has: cases that a command's fields do not settle, what a table is for

Every other module makes one page. A page names nothing that it can look up: a rename in the code is a rename
in the page.
"""
