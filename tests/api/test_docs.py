"""The page that shows the description: from this gateway alone, without a token, and only where it may."""

import gzip
import json
import re
import subprocess
import zipfile
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from pointledger.settings import Settings
from tests import environments
from tests.api.described import DESCRIPTION
from tests.api.issuer import Issuer
from tests.api.served import Served, http_settings, serving


def test_the_page_and_all_that_it_loads_come_from_here_without_a_token(served: Served) -> None:
    page = served.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js", "data:,"} == set(loaded)
    for name in set(loaded) - {"data:,"}:
        assert served.get(f"/{name}").status_code == 200, name
    assert not re.search(r"<script(?![^>]*src=)|<style|\son[a-z]+=|style=", page.text)  # nothing inline


def test_its_policy_lets_nothing_in_from_elsewhere_and_nothing_inline(served: Served) -> None:
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css"):
        answer = served.get(path)
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert (policy["script-src"], policy["style-src"], policy["connect-src"]) == ("'self'",) * 3
        assert policy["frame-ancestors"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_assets_come_packed_to_those_who_take_them_so(served: Served) -> None:
    with httpx.Client(base_url=served.url, headers={"Accept-Encoding": "identity"}) as plain:
        whole = plain.get("/docs/swagger-ui.css")
    packed = served.get("/docs/swagger-ui.css")
    assert packed.headers["content-encoding"] == "gzip"
    assert (packed.content, "content-encoding" in whole.headers) == (whole.content, False)
    assert int(packed.headers["content-length"]) < len(gzip.compress(whole.content, 1))


def test_nothing_else_lies_there(served: Served) -> None:
    for name in ("index.html", "README.md", "swagger-ui.css.gz", "..%2fapp.py", "NOTICE", ""):
        assert served.get(f"/docs/{name}").status_code == 404, name
    assert served.post("/docs").status_code == 405


def test_where_it_is_switched_off_there_is_no_page_and_the_description_stays(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    with serving(http_settings(settings, issuer, folder, http_docs=False), issuer) as served:
        for path in ("/docs", "/docs/start.js"):
            assert served.get(path).status_code == 404
        assert served.get("/openapi.json").status_code == 200


@pytest.mark.long
def test_a_browser_shows_every_operation_and_finds_nothing_against_the_policy(
    served: Served, folder: Path
) -> None:
    def shown(url: str) -> tuple[str, list[str]]:
        """The page as it stands when all scripts have run, and what the browser's console says."""
        budget = ["--virtual-time-budget=20000", "--enable-logging=stderr", f"--user-data-dir={folder}"]
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *budget, "--dump-dom", url],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]

    page, told = shown(f"{served.url}/docs")
    assert told == []
    for path, methods in DESCRIPTION["paths"].items():
        assert f'data-path="{path}"' in page, path
        for operation in methods.values():
            assert f"operations-{operation['tags'][0]}-{operation['operationId']}" in page
    policy = "<meta http-equiv=Content-Security-Policy content=\"script-src 'self'\"><script>1</script>"
    _, told = shown(f"data:text/html,{policy}")
    assert any("Content Security Policy" in line for line in told)  # so it would have said so


@pytest.mark.long
def test_the_viewers_files_are_those_of_the_package_that_is_named() -> None:
    package = environments.node("swagger-ui") / "node_modules" / "swagger-ui-dist"
    viewer = files("pointledger.api") / "viewer"
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert gzip.decompress((viewer / f"{name}.gz").read_bytes()) == (package / name).read_bytes()
    for name in ("NOTICE", "swagger-ui-bundle.js.LICENSE.txt"):
        assert (viewer / name).read_bytes() == (package / name).read_bytes()
    assert json.loads((package / "package.json").read_text())["version"] in (viewer / "README.md").read_text()


@pytest.mark.long
def test_the_wheel_has_the_page_and_its_licenses() -> None:
    names = zipfile.ZipFile(environments._wheel()).namelist()
    own = {path.name for path in Path(str(files("pointledger.api") / "viewer")).iterdir()}
    assert {name.rpartition("/")[2] for name in names if "/viewer/" in name} == own
    assert any(name.endswith("licenses/LICENSE") for name in names)
