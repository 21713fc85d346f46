"""The pages of the console that have a picture: a new page gets a line here."""

from typing import NamedTuple

from pointledger_demo.program import TENANT

MEMBER = "household-900"  # who earns, spends, and gives points to friends


class PageOfPictures(NamedTuple):
    """A page: the picture's name, the path below the tenant's, and what to wait for before it is taken."""

    name: str
    path: str
    waits_for: tuple[str, ...] = ()
    """CSS selectors. What they name is there when the page is complete."""
    click: str = ""
    """What to click first, like *Why?* of the first entry."""

    @property
    def address(self) -> str:
        """The path of the page in the console."""
        return f"/console/{TENANT}/{self.path}"


PAGES = (
    PageOfPictures(
        "today",
        "today?by=occurred&until=2017-03-30",
        ("#chart-days .uplot", "#chart-rate .uplot", "#findings", "#all-audits"),
    ),
    PageOfPictures("member", f"members/{MEMBER}", ("#why",), click="text=Why?"),
    PageOfPictures("command", "commands/{command}"),
    PageOfPictures("queue", "queue", ("#chart-rate .uplot",)),
    PageOfPictures("rules", "rules"),
    PageOfPictures("acts", "acts"),
    PageOfPictures("program", "program"),
)
