"""Cells of a library as Verilog: what each computes, without delays, for a mapped netlist."""

from collections.abc import Iterable

from macsmith.hw.boolean import Expr
from macsmith.hw.cell import Cell, FlipFlop
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import identifier

__all__ = ["cell_models"]

_INFIX = {"and": "&", "or": "|", "xor": "^"}


def cell_models(library: Library, names: Iterable[str]) -> str:
    """A Verilog-2001 module for each named cell.

    A flip-flop's state is undefined until it is clocked, cleared or preset.

    ValueError for a cell whose function the library does not give: latches, clock gates, black
    boxes.
    """
    return "\n".join(_model(library.cell(name)) for name in names)


def _model(cell: Cell) -> str:
    if not (cell.ff or cell.combinational):
        raise ValueError(f"{cell.name} is neither a flip-flop nor logic: it cannot be simulated")
    ports = [*cell.inputs, *cell.outputs]
    lines = [f"module {identifier(cell.name)}({', '.join(map(identifier, ports))});"]
    lines += [f"  input {identifier(pin)};" for pin in cell.inputs]
    lines += [f"  output {identifier(pin)};" for pin in cell.outputs]
    lines += _flip_flop(cell.ff, set(cell.pins)) if cell.ff else []
    lines += [
        f"  assign {identifier(pin)} = {_text(cell.pins[pin].function)};"
        for pin in cell.outputs
        if cell.pins[pin].function
    ]
    return "\n".join([*lines, "endmodule", ""])


def _flip_flop(ff: FlipFlop, pins: set[str]) -> list[str]:
    """State and inverse, and what changes them; a clear comes before a preset."""
    state, inverse = identifier(ff.state), identifier(ff.inverse)
    taken = pins | {ff.state, ff.inverse}
    forced = [("clear", ff.clear, 0), ("preset", ff.preset, 1)]
    forced = [(_free(name, taken), expr, value) for name, expr, value in forced if expr]
    wires = [(_free("clock", taken), ff.clocked_on), *((name, expr) for name, expr, _ in forced)]
    events = " or ".join(f"posedge {name}" for name, _ in wires)
    chosen = "".join(f"if ({name}) {state} <= 1'b{value}; else " for name, _, value in forced)
    return [
        f"  reg {state};",
        f"  wire {inverse} = ~{state};",
        *(f"  wire {name} = {_text(expr)};" for name, expr in wires),
        f"  always @({events}) {chosen}{state} <= {_text(ff.next_state)};",
    ]


def _free(name: str, taken: set[str]) -> str:
    """``name`` with an underscore, or as many as it takes to be none of the library's names."""
    name += "_"
    return _free(name, taken) if name in taken else name


def _text(expr: Expr) -> str:
    if expr.op == "var":
        return identifier(expr.name)
    if expr.op == "const":
        return f"1'b{expr.value:d}"
    if expr.op == "not":
        return f"~{_text(expr.args[0])}"
    first, second = map(_text, expr.args)
    return f"({first} {_INFIX[expr.op]} {second})"
