"""The layout itself: package list, dependency direction, doctests, file sizes."""

import ast
import doctest
import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "sim": set(),
    "hw": {"sim"},
    "quant": {"sim"},
    "experiments": {"sim", "hw", "quant"},
}
FORBIDDEN = {"hw": {"torch"}, "sim": {"torch", "amaranth"}, "quant": {"amaranth"}}
#: The modules of `hw` that are no RTL: estimators and the formal graphs.
MAY_COUNT = {
    "aig", "delays", "gatesim", "gatesim_counts", "gatesim_kernels", "gatesim_model",
    "gatesim_steps", "gatesim_waves", "gatesim_words", "liberty_power", "liberty_text",
    "power", "power_entries", "timing",
}  # fmt: skip
#: RTL must not depend on what checks it.
CHECKERS = ("macsmith.sim.golden", "macsmith.sim.kernels", "macsmith.sim.ndarray")
MODULES = sorted(p.relative_to(ROOT) for d in MAY_IMPORT for p in (ROOT / d).rglob("*.py"))
NAMES = {p: "macsmith." + ".".join(p.with_suffix("").parts) for p in MODULES}


def imports(path):
    tree = ast.parse((ROOT / path).read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: use an absolute import"
            yield from ((f"{node.module}.{alias.name}", id(node) in inside) for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_layers(path):
    folder = path.parts[0]
    for name, lazy in imports(path):
        top, *rest = name.split(".")
        lazily = lazy and path == Path("sim/engine.py") and top == "torch"
        assert top not in FORBIDDEN.get(folder, ()) or lazily, f"{path} must not import {top}"
        if folder == "hw":
            assert not name.startswith(CHECKERS), f"{path} must not import {name}"
            if path.stem not in MAY_COUNT:
                assert top not in {"numpy", "numba"}, f"{path} must not import {top}"
        if top == "macsmith":
            assert rest[0] == folder or rest[0] in MAY_IMPORT[folder], f"{path}: not {name}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("sim.spec", {"numpy", "numba", "torch"}),
        ("sim.golden", {"numpy", "numba", "torch"}),
        ("sim.engine", {"torch"}),
        ("hw.mac", {"numpy", "numba", "torch"}),
        ("experiments.cli", {"numba", "torch", "transformers", "amaranth", "matplotlib"}),
    ],
)
def test_imports_stay_light(module, absent):
    code = f"import sys, macsmith.{module}; print(*{absent!r} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True).strip() == ""


def test_every_package_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {"macsmith." + ".".join(p.parent.parts) for p in MODULES if p.name == "__init__.py"}
    assert set(listed) == found


def test_folders_are_not_importable_by_themselves():
    run = subprocess.run(
        [sys.executable, "-c", "import sim"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "this is macsmith.sim, not sim" in run.stderr


def test_doctests():
    ran = 0
    for path, name in NAMES.items():
        if ">>>" in (ROOT / path).read_text():
            result = doctest.testmod(importlib.import_module(name.removesuffix(".__init__")))
            assert result.failed == 0
            ran += result.attempted
    assert ran > 10


def test_files_stay_small():
    long = {str(p): n for p in MODULES if (n := len((ROOT / p).read_text().splitlines())) > 300}
    assert not long
