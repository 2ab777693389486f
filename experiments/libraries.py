"""`macsmith pdk list`: the technology libraries that are here, and what they are good for."""

from dataclasses import asdict, dataclass

from rich.table import Table

from macsmith.hw import adder_cells, pdk

__all__ = ["Listed", "examine", "table"]


@dataclass(frozen=True)
class Listed:
    """One library; None or "" is what it lacks, and all of it where ``problem`` says why.

    Attributes
    ----------
    name, folder : str
    files, others, cells : int
        ``others`` are of other families and corners: `hw.pdk` says how to name them.
    file_names : tuple of str
        Of those that make the library.
    voltage : float or None
        V.
    nand2_um2 : float or None
        The unit of a NAND2 equivalent.
    flip_flop, full_adder, half_adder : str
        The smallest cells that synthesis may use.
    delays : bool
    sha256 : dict
        By file.
    """

    name: str
    folder: str
    files: int
    others: int
    file_names: tuple[str, ...]
    cells: int = 0
    voltage: float | None = None
    nand2_um2: float | None = None
    flip_flop: str = ""
    full_adder: str = ""
    half_adder: str = ""
    delays: bool = False
    sha256: dict[str, str] | None = None
    problem: str = ""

    def as_dict(self) -> dict:
        return asdict(self)


def examine() -> list[Listed]:
    """Every library of the search path (`hw.pdk`), loaded."""
    return [_examine(one) for one in pdk.available()]


def table(found: list[Listed]) -> Table:
    """For a person."""
    heads = "library", "cells", "V", "NAND2", "flip-flop", "full adder", "half adder", "where"
    shown = Table(*heads)
    for one in found:
        if one.problem:
            shown.add_row(one.name, *[""] * 6, one.problem)
            continue
        shown.add_row(
            one.name,
            str(one.cells),
            "" if one.voltage is None else f"{one.voltage:g}",
            "" if one.nand2_um2 is None else f"{one.nand2_um2:g} um2",
            one.flip_flop + ("" if one.delays else " (no delays)"),
            one.full_adder,
            one.half_adder,
            "\n".join([one.folder, *one.file_names, *_others(one)]),
        )
    return shown


def _others(one: Listed) -> list[str]:
    if not one.others:
        return []
    return [f"{one.others} more, by --pdk {one.name}/PART-OF-THEIR-NAME"]


def _examine(one: pdk.Pdk) -> Listed:
    place = {
        "name": one.name,
        "folder": str(one.files[0].parent),
        "files": len(one.files),
        "others": len(one.others),
        "file_names": tuple(file.name for file in one.files),
    }
    try:
        library = one.load()
        adders = adder_cells.find(library)
        return Listed(
            **place,
            cells=len(library.names),
            voltage=library.voltage,
            nand2_um2=library.nand2.area or None if library.nand2 else None,
            flip_flop=library.flip_flop.name if library.flip_flop else "",
            full_adder=adders.full.cell if adders else "",
            half_adder=adders.half.cell if adders and adders.half else "",
            delays=library.has_delays,
            sha256=library.sha256,
        )
    except ValueError as error:
        return Listed(**place, problem=str(error))
