"""Units as and-inverter graphs, by Yosys: every adder a chain of full adders."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from amaranth.back import rtlil
from amaranth.lib import wiring

from macsmith.hw import yosys
from macsmith.hw.aig import Aig

__all__ = ["Source", "to_aigs"]

#: Carries ripple, so that every adder of the design is a chain of full adders in the graph.
_RIPPLE = r"""
(* techmap_celltype = "$alu" *)
module ripple(A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
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
"""

_PASSES = (
    "proc",
    "flatten",
    "setattr -unset init w:*",
    "opt_expr",
    "opt_clean",
    "booth",
    "alumacc",
    "maccmap",
    "techmap -map ripple.v",
    "techmap",
    "opt_expr",
    "opt_clean",
    "dffunmap",
    "simplemap",
    "opt_clean",
    # What the graph leaves out must not be there: other clocks and edges, latches.
    "select -assert-none t:$_DFF_P_ w:clk %co:+$_DFF_P_[C] %d",
    "select -assert-none t:$_DFF_N_ t:$_DLATCH_* t:$_SR_*",
    "aigmap",
    "opt_clean",
)


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

    ``expose`` names, by design, a signal inside it that is to be an output as well, if it is there.
    `yosys.YosysError` where a design has another clock than ``clk``, a falling edge or a latch.
    """
    files, passes = {"ripple.v": _RIPPLE}, []
    for k, (name, design) in enumerate(designs.items()):
        inner = (expose or {}).get(name)
        if isinstance(design, wiring.Component):
            design = Source(rtlil.convert(design, name="top", emit_src=False))
        files |= {f"{k}.in": design.text, **design.files}
        passes += [
            "design -reset",
            *(step.format(name=f"{k}.in") for step in design.read),
            *_PASSES[:2],
            *([f"expose w:{inner} w:{inner}$*"] if inner else []),
            *_PASSES[2:],
            f"write_aiger -ascii -symbols {k}.aag",
        ]
    texts = yosys.run(passes, files, [f"{k}.aag" for k in range(len(designs))])
    return {name: Aig.parse(texts[f"{k}.aag"]) for k, name in enumerate(designs)}
