"""Units as and-inverter graphs, by Yosys: every adder a chain of full adders."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template

from amaranth.back import rtlil
from amaranth.lib import wiring

from macsmith.hw import yosys
from macsmith.hw.aig import FALSE, TRUE, Aig, Bit
from macsmith.hw.aig_clocks import one_clock

__all__ = ["Source", "to_aigs"]

#: Carries ripple, so that every adder of the design is a chain of full adders in the graph. A large
#: multiplier is one such chain for each bit of the second factor, and Baugh and Wooley's: bits that
#: count negative are inverted, and a constant makes up for it. In the tree that small ones become,
#: repeated signs make adders copies of each other, and a long one is no longer taken apart.
_ADDERS = Template(r"""
(* techmap_celltype = "$alu" *)
module ripple(A, B, CI, BI, X, Y, CO);
$PARAMETERS
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  input CI, BI;
  output [Y_WIDTH-1:0] X, Y, CO;
  wire [Y_WIDTH-1:0] long_a, long_b;
  generate
    if (A_WIDTH == 0) assign long_a = 0;
    else \$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH))
      extend_a(.A(A), .Y(long_a));
    if (B_WIDTH == 0) assign long_b = 0;
    else \$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH))
      extend_b(.A(B), .Y(long_b));
  endgenerate
  wire [Y_WIDTH-1:0] b = BI ? ~long_b : long_b;
  wire [Y_WIDTH:0] carry = {CO, CI};
  assign X = long_a ^ b;
  assign Y = X ^ carry[Y_WIDTH-1:0];
  genvar i;
  generate for (i = 0; i < Y_WIDTH; i = i + 1) begin : bits
    assign CO[i] = (long_a[i] & b[i]) | (X[i] & carry[i]);
  end endgenerate
endmodule

(* techmap_celltype = "$mul" *)
module rows(A, B, Y);
$PARAMETERS
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;
  localparam SIGNED = A_SIGNED && B_SIGNED;
  localparam WIDTH = A_WIDTH + B_WIDTH;
  wire _TECHMAP_FAIL_ = WIDTH <= 32;
  localparam [WIDTH-1:0] ONE = 1;
  localparam [WIDTH-1:0] CONSTANT =
    SIGNED ? (ONE << (A_WIDTH - 1)) + (ONE << (B_WIDTH - 1)) + (ONE << (WIDTH - 1)) : 0;
  wire [WIDTH*(B_WIDTH+1)-1:0] sums;
  assign sums[WIDTH-1:0] = CONSTANT;
  genvar i, k;
  generate for (i = 0; i < B_WIDTH; i = i + 1) begin : row
    wire [WIDTH-1:0] sum = sums[WIDTH*i +: WIDTH];
    wire [WIDTH-1:0] x, y;
    wire [WIDTH:0] carry;
    assign carry[0] = 0;
    assign x = sum ^ y;
    assign sums[WIDTH*(i+1) +: WIDTH] = x ^ carry[WIDTH-1:0];
    for (k = 0; k < WIDTH; k = k + 1) begin : bits
      localparam NEGATIVE = SIGNED && ((k == i + A_WIDTH - 1) ^ (i == B_WIDTH - 1));
      if (k < i || k >= i + A_WIDTH) assign y[k] = 0;
      else assign y[k] = NEGATIVE ^ (A[k-i] & B[i]);
      assign carry[k+1] = (sum[k] & y[k]) | (x[k] & carry[k]);
    end
  end endgenerate
  \$pos #(.A_SIGNED(SIGNED), .A_WIDTH(WIDTH), .Y_WIDTH(Y_WIDTH))
    extend(.A(sums[WIDTH*B_WIDTH +: WIDTH]), .Y(Y));
endmodule
""").safe_substitute(PARAMETERS=yosys.BINARY_PARAMETERS)

#: To one module, which remembers the wires that registers drive.
_FLATTEN = (
    "proc",
    "setattr -set register 1 t:$*dff* %co1:+[Q] w:* %i",
    "flatten",
)
_TO_GATES = (
    "setattr -unset init w:*",
    "opt_expr",
    "opt_clean",
    "techmap -map adders.v t:$mul",
    "booth",
    "alumacc",
    "maccmap",
    "techmap -map adders.v",
    "techmap",
    "opt_expr",
    "opt_clean",
    "dffunmap",
    "simplemap",
    "opt_clean",
    "aigmap",
    "opt_clean",
)

#: Flip-flops, and whether they take at the falling edge of their clock.
_CLOCKED = {"$_DFF_P_": False, "$_DFF_N_": True}


@dataclass(frozen=True)
class Source:
    """A design for Yosys: ``text`` is read by the pass ``read``, after the ``files`` it needs.

    Attributes
    ----------
    text : str
    read : tuple of str
        Passes; the text is the file ``{name}`` of the first one.
    files : dict
        Other files, by name.
    """

    text: str
    read: tuple[str, ...] = ("read_rtlil {name}", "hierarchy -check -top top")
    files: Mapping[str, str] = field(default_factory=dict)


def to_aigs(
    designs: Mapping[str, wiring.Component | Source], expose: Mapping[str, str] | None = None
) -> dict[str, Aig]:
    """The graph of each design, by name, for the start-up of one Yosys.

    ``expose`` names, by design, a signal that is to be an output as well wherever it is inside.
    Every register is on ``clk``'s rising edge: `aig_clocks` says what becomes of others. ValueError
    on a latch, or a clock of which it knows nothing.
    """
    files, passes = {"adders.v": _ADDERS}, []
    for k, (name, design) in enumerate(designs.items()):
        inner = (expose or {}).get(name)
        if isinstance(design, wiring.Component):
            design = Source(rtlil.convert(design, name="top", emit_src=False))
        files |= {f"{k}.in": design.text, **design.files}
        passes += [
            "design -reset",
            *(step.format(name=f"{k}.in") for step in design.read),
            *_FLATTEN,
            *([f"expose w:{inner} w:{inner}$* w:*.{inner} w:*.{inner}$*"] if inner else []),
            *_TO_GATES,
            f"write_json {k}.json",
        ]
    texts = yosys.run(passes, files, [f"{k}.json" for k in range(len(designs))])
    graphs = {}
    for k, name in enumerate(designs):
        (module,) = (
            module
            for module in json.loads(texts[f"{k}.json"])["modules"].values()
            if "top" in module["attributes"]
        )
        graphs[name] = one_clock(_Reader(module).aig())
    return graphs


class _Reader:
    """A module of ANDs, inverters and flip-flops, in Yosys' JSON.

    ValueError on any other cell, on a bit that nothing drives, and on a loop.
    """

    def __init__(self, module: dict):
        self.ports = module["ports"]
        self.cells = [
            (cell["type"], {pin: bits[0] for pin, bits in cell["connections"].items()})
            for cell in module["cells"].values()
            if cell["type"] != "$scopeinfo"
        ]
        self.registers = [(kind, pins) for kind, pins in self.cells if kind in _CLOCKED]
        self.drivers = {}
        for kind, pins in self.cells:
            if kind in _CLOCKED:
                continue
            if kind not in ("$_AND_", "$_NOT_"):
                raise ValueError(f"a cell {kind} is no gate and no register of one clock")
            self.drivers[pins["Y"]] = pins
        self.names = {}
        self.declared = set()  # as registers, where the text said so
        for name, net in module["netnames"].items():
            if "register" in net["attributes"]:
                self.declared.add(name)
            if not net["hide_name"]:
                for k, bit in enumerate(net["bits"]):
                    self.names.setdefault(bit, []).append((name, k))

    def aig(self) -> Aig:
        """The circuit, its registers on whatever clocks they have."""
        inputs = self._port_bits("input")
        outputs = self._port_bits("output")
        registers = self._register_names()
        self.lits = {"0": FALSE, "1": TRUE}
        self.gates: list[tuple[int, int, int]] = []
        for bit in (*inputs.values(), *(pins["Q"] for _, pins in self.registers)):
            self.lits[bit] = 2 * (len(self.lits) - 1)
        # constants count for one variable
        self.free = len(self.lits) - 2
        output_lits = tuple(self._lit(bit) for bit in outputs.values())
        next_lits = tuple(self._lit(pins["D"]) for _, pins in self.registers)
        clock_lits = tuple(self._lit(pins["C"]) ^ _CLOCKED[kind] for kind, pins in self.registers)
        return Aig(
            tuple(inputs),
            registers,
            tuple(outputs),
            tuple(self.lits[bit] >> 1 for bit in inputs.values()),
            tuple(self.lits[pins["Q"]] >> 1 for _, pins in self.registers),
            output_lits,
            next_lits,
            tuple(self.gates),
            clock_lits,
        )

    def _port_bits(self, direction: str) -> dict[Bit, int]:
        return {
            (name, k): bit
            for name, port in self.ports.items()
            if port["direction"] == direction
            for k, bit in enumerate(port["bits"])
        }

    def _register_names(self) -> tuple[Bit, ...]:
        """Of several names for one bit the plainest."""
        found: dict[Bit, None] = {}
        for k, (_, pins) in enumerate(self.registers):
            names = self.names.get(pins["Q"], [(f"register{k}", 0)])
            # Verilog's own wires are _0_, _1_, ..
            name, bit = min(names, key=self._plainness)
            found[(f"{name}.{k}", 0) if (name, bit) in found else (name, bit)] = None
        return tuple(found)

    def _plainness(self, bit: Bit) -> tuple:
        name = bit[0]
        alias = name not in self.declared
        return "." in name, alias, "$" in name, name.startswith("_"), len(name), bit

    def _lit(self, root: int | str) -> int:
        """The literal of a bit, its gates made before it."""
        stack, open_bits = [root], set()
        while stack:
            bit = stack[-1]
            if bit in self.lits:
                open_bits.discard(stack.pop())
                continue
            pins = self.drivers.get(bit)
            if pins is None:
                raise ValueError(f"nothing drives {self.names.get(bit, [bit])[0]}")
            sources = [pins[pin] for pin in ("A", "B") if pin in pins]
            missing = [source for source in sources if source not in self.lits]
            if missing:
                if bit in open_bits:
                    raise ValueError(f"a loop through {self.names.get(bit, [bit])[0]}")
                open_bits.add(bit)
                stack += missing
                continue
            x, *y = (self.lits[source] for source in sources)
            if y:
                var = self.free + len(self.gates) + 1
                self.gates.append((var, x, y[0]))
                self.lits[bit] = 2 * var
            else:
                self.lits[bit] = x ^ 1
        return self.lits[root]
