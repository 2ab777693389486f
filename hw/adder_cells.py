"""Full and half adders of a technology library, and which form each adder of a netlist takes.

ABC maps logic, not adders: it never picks a cell with two outputs. So adders are kept apart as
boxes, take their form here, and are replaced by library cells (`forms`) before ABC sees the logic
between them.

A full adder is self-dual: of inverted operands it makes the inverted sum and carry. Where the cell
inverts its outputs (ASAP7's does), an adder fed by inverted signals gives true ones, and the
inverters vanish where the forms of neighbours alternate; `choose` sees to that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from macsmith.hw.adders import BOX
from macsmith.hw.liberty import Library
from macsmith.hw.netlist import identifier
from macsmith.hw.yosys import BINARY_PARAMETERS

__all__ = ["BOX", "STUB", "Adder", "AdderCells", "Output", "boxes", "choose", "find", "forms"]

STUB = f"(* blackbox *) module {BOX}(input A, B, C, output X, Y); endmodule\n"
DUAL, HALF, HALF_ONE, LOGIC = (f"{BOX}_{form}" for form in ("dual", "half", "half_one", "logic"))
_LONGEST = 200  # characters of a function that may be an adder's
_SWEEPS = 4  # over all adders, each time in order


@dataclass(frozen=True)
class Output:
    """One output pin of an adder cell; ``inverted`` if the pin is low for a 1."""

    pin: str
    inverted: bool


@dataclass(frozen=True)
class Adder:
    """An adder cell: its name, operand pins, and outputs."""

    cell: str
    operands: tuple[str, ...]
    carry: Output
    sum: Output

    @property
    def inverting(self) -> bool:
        return self.carry.inverted and self.sum.inverted


@dataclass(frozen=True)
class AdderCells:
    """The smallest adders of a library; ``half`` is None where there is no half adder."""

    full: Adder
    half: Adder | None

    @property
    def cells(self) -> tuple[Adder, ...]:
        return (self.full, self.half) if self.half else (self.full,)


def find(library: Library) -> AdderCells | None:
    """The adders that synthesis may use; None without a full adder."""
    full, half = _smallest(library, 3), _smallest(library, 2)
    return AdderCells(full, half) if full else None


def _smallest(library: Library, operands: int) -> Adder | None:
    states = list(product((False, True), repeat=operands))
    carry = [sum(state) > 1 for state in states]
    total = [sum(state) % 2 == 1 for state in states]
    found = []
    for name, functions in library.functions.items():
        if len(functions) != 2 or max(map(len, functions)) > _LONGEST:
            continue
        cell = library.cell(name)
        pins = cell.inputs
        if len(pins) != operands or len(cell.outputs) != 2:
            continue
        outputs: dict[str, Output] = {}
        for pin in cell.outputs:
            expr = cell.pins[pin].function
            if expr is None:
                continue
            seen = [bool(expr.evaluate(dict(zip(pins, s, strict=True)))) for s in states]
            for what, wanted in (("carry", carry), ("sum", total)):
                if seen in (wanted, [not bit for bit in wanted]):
                    outputs[what] = Output(pin, seen != wanted)
        if len(outputs) == 2:
            found.append((cell.area, name, Adder(name, pins, outputs["carry"], outputs["sum"])))
    return min(found)[2] if found else None


def boxes(ripple: bool) -> str:
    """Verilog for techmap: ``$fa``, and with ``ripple`` every ``$alu``, as boxes of one bit."""
    text = f"""
(* techmap_celltype = "$fa" *)
module _full_adders(A, B, C, X, Y);
  parameter WIDTH = 1;
  input [WIDTH-1:0] A, B, C;
  output [WIDTH-1:0] X, Y;
  genvar i;
  generate for (i = 0; i < WIDTH; i = i + 1) begin:bit
    {BOX} box(.A(A[i]), .B(B[i]), .C(C[i]), .X(X[i]), .Y(Y[i]));
  end endgenerate
endmodule
"""
    if ripple:
        text += f"""
(* techmap_celltype = "$alu" *)
module _ripple(A, B, CI, BI, X, Y, CO);
{BINARY_PARAMETERS}
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  input CI, BI;
  output [Y_WIDTH-1:0] X, Y, CO;
  wire [Y_WIDTH-1:0] AA, BW, BB;
  generate
    if (A_WIDTH > 0)
      \\$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) a_ext(.A(A), .Y(AA));
    else
      assign AA = 0;
    if (B_WIDTH > 0)
      \\$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) b_ext(.A(B), .Y(BW));
    else
      assign BW = 0;
  endgenerate
  assign BB = BI ? ~BW : BW;
  assign X = AA ^ BB;
  wire [Y_WIDTH:0] carry;
  assign carry[0] = CI;
  assign CO = carry[Y_WIDTH:1];
  genvar i;
  generate for (i = 0; i < Y_WIDTH; i = i + 1) begin:bit
    {BOX} box(.A(AA[i]), .B(BB[i]), .C(carry[i]), .X(carry[i+1]), .Y(Y[i]));
  end endgenerate
endmodule
"""
    return text


def forms(adders: AdderCells) -> tuple[str, str]:
    """Verilog of the library's cells as black boxes, and for techmap of every form of a box."""
    stubs = "".join(
        f"(* blackbox *) module {identifier(a.cell)} ("
        f"input {', '.join(map(identifier, a.operands))}, "
        f"output {identifier(a.carry.pin)}, {identifier(a.sum.pin)}); endmodule\n"
        for a in adders.cells
    )
    full, half = adders.full, adders.half
    text = _form(BOX, full, "A B C", False) + _form(DUAL, full, "A B C", True)
    if half:
        # With a 1 as third operand the sum is an XNOR and the carry an OR: a half adder of inverted
        # operands has both, its carry inverted.
        text += _form(HALF, half, "A B", False)
        text += f"""
module {HALF_ONE}(input A, B, C, output X, Y);
  wire c, s;
  {_instance(half, ("~A", "~B"))}
  assign X = {"" if half.carry.inverted else "~"}c;
  assign Y = {"" if half.sum.inverted else "~"}s;
endmodule
"""
    text += f"""
module {LOGIC}(input A, B, C, output X, Y);
  assign Y = A ^ B ^ C;
  assign X = A & B | C & (A ^ B);
endmodule
"""
    return stubs, text


def _form(name: str, adder: Adder, operands: str, dual: bool) -> str:
    nets = [f"{'~' if dual else ''}{operand}" for operand in operands.split()]
    carry, total = ("~" if out.inverted != dual else "" for out in (adder.carry, adder.sum))
    return f"""
module {name}(input A, B, C, output X, Y);
  wire c, s;
  {_instance(adder, nets)}
  assign X = {carry}c;
  assign Y = {total}s;
endmodule
"""


def _instance(adder: Adder, operands: Iterable[str]) -> str:
    """The cell on operands, its carry on c and its sum on s."""
    pins = dict(zip(adder.operands, operands, strict=True))
    pins |= {adder.carry.pin: "c", adder.sum.pin: "s"}
    connected = ", ".join(f".{identifier(pin)}({net})" for pin, net in pins.items())
    return f"{identifier(adder.cell)} cell({connected});"


def choose(document: dict, top: str, adders: AdderCells) -> None:
    """Give every box in Yosys's JSON ``document`` its form, by changing its type.

    With a constant operand it is a half adder, with two, or an output that nothing reads, mere
    logic. Of the others those become dual whose operands are inverted for free.
    """
    cells = document["modules"][top]["cells"]
    used = _read_bits(document["modules"][top])
    full = {}
    for name, cell in cells.items():
        if cell["type"] != BOX:
            continue
        pins = {pin: bits[0] for pin, bits in cell["connections"].items()}
        constants = [pin for pin in "ABC" if isinstance(pins[pin], str)]
        read = [pins[pin] in used for pin in "XY"]
        if len(constants) > 1 or not all(read) or len({pins[p] for p in "ABC"}) < 3:
            cell["type"] = LOGIC
        elif constants:
            _as_half(cell, pins, constants[0], adders.half)
        else:
            full[name] = pins
    if adders.full.inverting:
        for name, dual in _duals(full, cells).items():
            if dual:
                cells[name]["type"] = DUAL


def _as_half(cell: dict, pins: dict, constant: str, half: Adder | None) -> None:
    one = pins[constant] == "1"
    cell["type"] = LOGIC if half is None else HALF_ONE if one else HALF
    order = [pin for pin in "ABC" if pin != constant] + [constant]
    for pin, source in zip("ABC", order, strict=True):
        cell["connections"][pin] = [pins[source]]


def _read_bits(module: dict) -> set:
    """Nets that some cell or output port reads."""
    used = {bit for port in module["ports"].values() if port["direction"] == "output"
            for bit in port["bits"]}  # fmt: skip
    for cell in module["cells"].values():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"].get(pin, "input") != "output":
                used.update(bits)
    return used


def _duals(full: dict[str, dict], cells: dict) -> dict[str, bool]:
    """For each full adder whether it takes its operands inverted.

    Between two adders an inverter is needed where their forms are the same; an AND gate is larger
    than a NAND by half an inverter. Each adder in turn takes the form that needs fewer, until
    nothing changes.
    """
    driver = {pins[out]: name for name, pins in full.items() for out in "XY"}
    inverted = {}  # nets that are another net's complement
    ands = set()
    for cell in cells.values():
        if cell["type"] == "$_NOT_":
            inverted[cell["connections"]["Y"][0]] = cell["connections"]["A"][0]
        elif cell["type"] in ("$_AND_", "$_OR_"):
            ands.add(cell["connections"]["Y"][0])
    dual = dict.fromkeys(full, False)
    feeds: dict[str, list[tuple[str, bool]]] = {name: [] for name in full}
    votes = dict.fromkeys(full, 0.0)  # for dual, whatever the neighbours do
    sources: dict[str, list[tuple[str, bool]]] = {name: [] for name in full}
    for name, pins in full.items():
        for pin in "ABC":
            net, flip = pins[pin], False
            while net in inverted:
                net, flip = inverted[net], not flip
            if net in driver:
                sources[name].append((driver[net], flip))
                feeds[driver[net]].append((name, flip))
            elif net in ands:
                votes[name] += -0.5 if flip else 0.5
            else:
                votes[name] += 0.25 if flip else 0.0

    for _ in range(_SWEEPS):
        changed = False
        for name in full:
            # Unlike forms need no inverter between them; with one in the way, like ones do not.
            score = votes[name]
            for other, flip in (*sources[name], *feeds[name]):
                score += 1 if dual[other] == flip else -1
            if (score > 0) != dual[name] and score:
                dual[name] = score > 0
                changed = True
        if not changed:
            break
    return dual
