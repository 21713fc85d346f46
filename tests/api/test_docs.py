"""The page /docs: public, self-contained, and optional."""

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
from tests.api.environment import ApiEnvironment, http_settings, open_api
from tests.api.issuer import Issuer
from tests.api.openapi import DOCUMENT


def test_the_page_loads_only_local_files_and_needs_no_token(api: ApiEnvironment) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js", "data:,"} == set(loaded)
    for name in set(loaded) - {"data:,"}:
        assert api.get(f"/{name}").status_code == 200, name
    assert not re.search(r"<script(?![^>]*src=)|<style|\son[a-z]+=|style=", page.text)  # nothing inline


def test_the_policy_forbids_other_hosts_and_inline_scripts(api: ApiEnvironment) -> None:
    for path in ("/docs", "/docs/start.js", "/docs/swagger-ui.css"):
        answer = api.get(path)
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert (policy["script-src"], policy["style-src"], policy["connect-src"]) == ("'self'",) * 3
        assert policy["frame-ancestors"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_assets_are_sent_packed_to_clients_that_accept_gzip(api: ApiEnvironment) -> None:
    with httpx.Client(base_url=api.url, headers={"Accept-Encoding": "identity"}) as plain:
        whole = plain.get("/docs/swagger-ui.css")
    packed = api.get("/docs/swagger-ui.css")
    assert packed.headers["content-encoding"] == "gzip"
    assert (packed.content, "content-encoding" in whole.headers) == (whole.content, False)
    assert int(packed.headers["content-length"]) < len(gzip.compress(whole.content, 1))


def test_other_files_are_404(api: ApiEnvironment) -> None:
    for name in ("index.html", "README.md", "swagger-ui.css.gz", "..%2fapp.py", "NOTICE", ""):
        assert api.get(f"/docs/{name}").status_code == 404, name
    assert api.post("/docs").status_code == 405


def test_without_http_docs_there_is_no_page_but_the_document_remains(
    settings: Settings, issuer: Issuer, folder: Path
) -> None:
    with open_api(http_settings(settings, issuer, folder, http_docs=False), issuer) as api:
        for path in ("/docs", "/docs/start.js"):
            assert api.get(path).status_code == 404
        assert api.get("/openapi.json").status_code == 200


@pytest.mark.long
def test_a_browser_shows_every_operation_without_policy_violations(api: ApiEnvironment, folder: Path) -> None:
    def shown(url: str) -> tuple[str, list[str]]:
        """Return the rendered page and the lines of the browser's console."""
        budget = ["--virtual-time-budget=20000", "--enable-logging=stderr", f"--user-data-dir={folder}"]
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", *budget, "--dump-dom", url],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]

    page, console = shown(f"{api.url}/docs")
    assert console == []
    for path, methods in DOCUMENT["paths"].items():
        assert f'data-path="{path}"' in page, path
        for operation in methods.values():
            assert f"operations-{operation['tags'][0]}-{operation['operationId']}" in page
    policy = "<meta http-equiv=Content-Security-Policy content=\"script-src 'self'\"><script>1</script>"
    _, console = shown(f"data:text/html,{policy}")
    assert any("Content Security Policy" in line for line in console)  # so the console does report violations


@pytest.mark.long
def test_the_viewers_files_match_the_package() -> None:
    package = environments.node("swagger-ui") / "node_modules" / "swagger-ui-dist"
    viewer = files("pointledger.api") / "viewer"
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert gzip.decompress((viewer / f"{name}.gz").read_bytes()) == (package / name).read_bytes()
    for name in ("NOTICE", "swagger-ui-bundle.js.LICENSE.txt"):
        assert (viewer / name).read_bytes() == (package / name).read_bytes()
    assert json.loads((package / "package.json").read_text())["version"] in (viewer / "README.md").read_text()


@pytest.mark.long
def test_the_wheel_has_the_page_and_its_licenses() -> None:
    names = zipfile.ZipFile(environments.wheel()).namelist()
    own = {path.name for path in Path(str(files("pointledger.api") / "viewer")).iterdir()}
    assert {name.rpartition("/")[2] for name in names if "/viewer/" in name} == own
    assert any(name.endswith("licenses/LICENSE") for name in names)
