"""The start: where a person's work begins."""

from starlette.responses import Response

from pointledger.api.console.visit import PageRoute, Visit


def show(visit: Visit) -> Response:
    """Lead to the first page that the person may see. Each role has one."""
    return visit.redirect(visit.url(visit.navigation[0].path))


ROUTES = (PageRoute("", "home", show),)
