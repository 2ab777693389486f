"""Self-checking testbench in plain Verilog-2001, with the golden model's vectors beside it.

Needs ``iverilog`` and ``vvp``, and nothing of macsmith. A vector is one clock cycle: operands, the
results that must be seen at the end of the cycle, and whether they count. It prints ``PASS`` with
the number of results compared, or ``FAIL`` with the first wrong one and ends with a status of 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from amaranth.lib import wiring

from macsmith.experiments.testbench_streams import ending, heading, make_stream_testbench
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import FULL, RESET_CYCLES, Instance
from macsmith.experiments.verify.runner import describe
from macsmith.experiments.verify.stimulus import make_stream
from macsmith.sim.spec import MacSpec

__all__ = ["Testbench", "make_testbench"]


@dataclass(frozen=True)
class Testbench:
    """``module`` and its two files' texts; ``checked`` results are compared."""

    module: str
    verilog: str
    vectors: str
    checked: int


def make_testbench(
    unit: str,
    module: str,
    spec: MacSpec,
    component: wiring.Component,
    vectors: str,
    *,
    files: Sequence[str] = (),
    **options,
) -> Testbench:
    """Testbench of ``component``, exported as ``module``; ``vectors`` is that file's name, and
    ``files`` are those of the testbench and the module, if they are not called as both are.

    All operand combinations where they are few, else random ones, clears, stalls and overflows. A
    unit with a handshake sends and takes its beats with stalls, and a result is a beat.
    """
    name = f"{module}_tb"
    files = files or (f"{name}.v", f"{module}.v")
    instance = describe(unit, module, spec, component, **options)
    if get_unit(unit).handshake:
        return Testbench(name, *make_stream_testbench(name, instance, vectors, files))
    instance = replace(instance, effort=FULL)
    stream = make_stream(instance)
    out_bits = sum(port.width for port in instance.outputs)
    in_bits = sum(port.width for port in instance.inputs)
    words = []
    for stim, want in zip(stream.stim, stream.want, strict=True):
        words.append(stim << out_bits | want & (1 << out_bits) - 1)
    digits = -(-(in_bits + out_bits) // 4)
    text = "".join(f"{word:0{digits}x}\n" for word in words)
    verilog = _verilog(name, instance, len(words), vectors, files)
    return Testbench(name, verilog, text, len(words))


def _verilog(name: str, instance: Instance, count: int, vectors: str, files: Sequence[str]) -> str:
    out_bits = sum(port.width for port in instance.outputs)
    in_bits = sum(port.width for port in instance.inputs)
    width = in_bits + out_bits
    pins, shows, low = [], [], out_bits
    for port in instance.inputs:
        pins.append(f".{port.name}(vector[{low + port.width - 1}:{low}])")
        low += port.width
    low = 0
    for port in instance.outputs:
        pins.append(f".{port.name}(got[{low + port.width - 1}:{low}])")
        low += port.width
    if instance.latency:
        pins.insert(0, ".clk(clk)")
    for port in instance.inputs:
        shows.append(f"{port.name}=%h")
    values = ", ".join(pin[pin.index("(") + 1 : -1] for pin in pins if "(vector" in pin)
    return f"""\
{heading(instance, f"{count} cycles from {vectors}", files)}\
module {name};
  localparam COUNT = {count};
  reg [{width - 1}:0] vectors [0:COUNT-1];
  reg [{width - 1}:0] vector;
  reg clk;
  wire [{out_bits - 1}:0] got;
  wire [{out_bits - 1}:0] want = vector[{out_bits - 1}:0];
  integer cycle, wrong, checked;

  {instance.module} dut({", ".join(pins)});

  initial begin
    $readmemh("{vectors}", vectors);
    clk = 0;
    wrong = 0;
    checked = 0;
    vector = vectors[0];
    for (cycle = 0; cycle < {RESET_CYCLES if instance.latency else 0}; cycle = cycle + 1) begin
      #5 clk = 1;
      #5 clk = 0;
    end
    for (cycle = 0; cycle < COUNT; cycle = cycle + 1) begin
      vector = vectors[cycle];
      #5;
      if (^vector === 1'bx) begin
        $display("FAIL: vector %0d is missing", cycle);
        wrong = wrong + 1;
      end else begin
        checked = checked + 1;
        if (got !== want) begin
          if (wrong == 0)
            $display("FAIL: cycle %0d: {" ".join(shows)}: got %h, want %h",
                     cycle, {values}, got, want);
          wrong = wrong + 1;
        end
      end
      clk = 1;
      #5 clk = 0;
    end
    if (wrong != 0 || checked != COUNT) begin
      $display("FAIL: %0d of %0d results are wrong", wrong, checked);
{ending(instance)}"""
