"""The picture of the floors matches the import contracts, and the code's imports agree with it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import grimp
import pytest

from docs.generate.floors import PICTURE, floors

ROOT = Path(__file__).parents[2]
_PROCESSES = ("workers", "schedules", "pointledger_demo")


def _tops() -> dict[str, float]:
    """Return the vertical position of each package's box in the committed picture."""
    boxes = ET.parse(PICTURE).iter("{http://www.w3.org/2000/svg}rect")
    return {box.attrib["id"]: float(box.attrib["y"]) for box in boxes if "id" in box.attrib}


def _floor_of(module: str) -> str:
    """Return the name of a module's box."""
    root, _, rest = module.partition(".")
    return rest.partition(".")[0] if root == "pointledger" else root


def test_the_picture_of_the_floors_is_drawn_from_the_contracts() -> None:
    assert PICTURE.read_text() == floors(), "run: .venv/bin/python -m docs.generate.floors"


def test_every_package_and_module_of_the_library_has_a_box() -> None:
    paths = [path for path in (ROOT / "src" / "pointledger").iterdir() if path.suffix in ("", ".py")]
    named = {path.stem for path in paths if path.name not in ("__init__.py", "__pycache__")}
    assert set(_tops()) == named | set(_PROCESSES)


@pytest.mark.parametrize("package", ["domain", "storage"])
def test_the_inner_floors_are_the_existing_packages_and_modules(package: str) -> None:
    paths = [
        path for path in (ROOT / "src" / "pointledger" / package).iterdir() if path.suffix in ("", ".py")
    ]
    named = {path.stem for path in paths if path.name not in ("__init__.py", "__pycache__", "migrations")}
    label = ET.parse(PICTURE).getroot().attrib["aria-label"]
    (inner,) = re.findall(rf"\b{package} \(([^)]*)\)", label)
    assert set(inner.split(", ")) == named


def test_every_import_in_the_code_points_down_in_the_picture() -> None:
    graph = grimp.build_graph("pointledger", *_PROCESSES, cache_dir=None)
    tops = _tops()
    checked = 0
    for module in graph.modules:
        importer = _floor_of(module)
        for imported in map(_floor_of, graph.find_modules_directly_imported_by(module)):
            if importer and imported and importer != imported:
                assert tops[importer] < tops[imported], (module, imported)
                checked += 1
    assert checked > 100, "the code imports across its packages"
