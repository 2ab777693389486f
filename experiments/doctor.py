"""What this machine has: tools, simulators, libraries, and how to get what is missing."""

import os
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from rich.table import Table

from macsmith.experiments.store import tool_version

__all__ = ["Item", "examine", "table"]

PACKAGES = ("amaranth", "pyosys", "cocotb", "numba", "torch", "transformers")
TOOLS = {  # command -> (argument for its version, what it is for, Debian package)
    "iverilog": ("-V", "the Icarus simulator", "iverilog"),
    "sta": ("-version", "OpenSTA, referee of static timing", "opensta"),
    "g++": ("--version", "compiles Verilator's simulators", "g++"),
    "make": ("--version", "drives those compilations", "make"),
}


@dataclass(frozen=True)
class Item:
    """One thing that may be here: `detail` says which one, or how to get it."""

    kind: str
    name: str
    here: bool
    detail: str

    def as_dict(self) -> dict:
        return asdict(self)


def examine() -> list[Item]:
    """Everything that macsmith can use, here or missing."""
    return [
        Item("python", "python", True, sys.version.split()[0]),
        *(_package(name) for name in PACKAGES),
        _verilator(),
        *(_tool(name, *about) for name, about in TOOLS.items()),
        _int8(),
        *_libraries(),
    ]


def table(items: list[Item]) -> Table:
    shown = Table("", "what", "", "")
    for item in items:
        mark = "[green]ok[/]" if item.here else "[red]missing[/]"
        shown.add_row(item.kind, item.name, mark, item.detail)
    return shown


def _package(name: str) -> Item:
    try:
        return Item("package", name, True, version(name))
    except PackageNotFoundError:
        return Item("package", name, False, "run `make setup`")


def _verilator() -> Item:
    from macsmith.experiments.verify import simulators

    try:
        simulators.environment("verilator")
    except simulators.SimulatorMissing as error:
        return Item("simulator", "verilator", False, str(error))
    return replace(_package("verilator"), kind="simulator", here=True)


def _tool(name: str, argument: str, purpose: str, package: str) -> Item:
    if not shutil.which(name):
        return Item("tool", name, False, f"{purpose}: apt-get install {package}")
    return Item("tool", name, True, tool_version(name, argument))


def _int8() -> Item:
    from macsmith.sim import engine

    exact = engine.int8_is_exact()
    detail = (
        "torch._int_mm sums in 32 bits" if exact else "sums in 16 bits: float64 is used instead"
    )
    return Item("engine", "int8 GEMM", exact, detail)


def _libraries() -> list[Item]:
    from macsmith.hw import pdk

    found = [
        Item("library", p.name, True, f"{len(p.files)} Liberty file(s)") for p in pdk.available()
    ]
    names = {item.name for item in found}
    if "osu018" not in names:
        found.append(Item("library", "osu018", False, "apt-get install qflow-tech-osu018"))
    if "MACSMITH_PDK_PATH" not in os.environ:
        how = "set MACSMITH_PDK_PATH to a folder of <name>/*.lib[.gz], or give --liberty"
        found.append(Item("library", "others", False, how))
    return found
