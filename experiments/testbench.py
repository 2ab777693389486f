"""Self-checking testbench in plain Verilog-2001, with the golden model's vectors beside it.

Needs ``iverilog`` and ``vvp``, and nothing of macsmith. A vector is one clock cycle: operands, the
results that must be seen at the end of the cycle, and whether they count. It prints ``PASS`` with
the number of results compared, or ``FAIL`` with the first wrong one and ends with a status of 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from amaranth.lib import wiring

from macsmith.experiments.testbench_streams import make_stream_testbench, render
from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.bench import FULL, Port
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
    verilog = render(
        "testbench.v.j2",
        instance,
        files,
        name=name,
        what=f"{len(words)} cycles from {vectors}",
        count=len(words),
        latency=instance.latency,
        vectors=vectors,
        width=in_bits + out_bits,
        out_bits=out_bits,
        inputs=_slices("vector", instance.inputs, out_bits),
        outputs=_slices("got", instance.outputs, 0),
    )
    return Testbench(name, verilog, text, len(words))


def _slices(word: str, ports: Sequence[Port], low: int) -> list[tuple[str, str]]:
    """Names, and where each is in the word, from bit ``low`` upwards."""
    found = []
    for port in ports:
        found.append((port.name, f"{word}[{low + port.width - 1}:{low}]"))
        low += port.width
    return found
