"""Claim "equality": the same integers from every telling of a MAC, on operands of a real layer.

    golden          plain Python integers: what all others are compared with
    engine PATH     numba kernel, int8, float32 and float64 GEMM, each where it is proven exact
    torch           the quantized layer of the model: its output, to the last bit of float32
    RTL SIMULATOR   the exported Verilog, under cocotb
    netlist LIB     the synthesised and mapped gates, in the bit-parallel simulation

Time: about half a minute, most of it building the Verilator model.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from macsmith.experiments.operands import Operands, from_layer, layer_codes
from macsmith.sim import engine, golden
from macsmith.sim.spec import MacSpec

__all__ = ["FULL", "QUICK", "Config", "Job", "jobs", "source"]

TOKENS, OUTPUTS = 16, 32  # sums compared in software; golden takes a microsecond per product
STREAMS = 4  # of the operand streams, those that go through the RTL simulators


@dataclass(frozen=True)
class Config:
    specs: tuple[MacSpec, ...]


def _specs(*weights: str) -> tuple[MacSpec, ...]:
    """32 bits as in the paper's comparison, and one product wide, which a real layer overflows."""
    specs = []
    for name in weights:
        wide = MacSpec(name, "int8", 32, "wrap")
        narrow = replace(wide, acc_width=wide.product_width)
        specs += [wide, narrow, replace(narrow, overflow="saturate")]
    return tuple(specs)


QUICK = Config(_specs("int8", "int4", "dint4"))
FULL = Config(_specs("int8", "int4", "dint4", "int4z", "dint4z", "dint4_sm", "dint3"))


@dataclass(frozen=True)
class Job:
    """One back end for all specs of a configuration."""

    backend: str
    config: Config

    @property
    def label(self) -> str:
        return f"the same integers: {self.backend}"

    def run(self) -> list[dict]:
        kind, _, which = self.backend.partition(" ")
        return _BACKENDS[kind](self.config, which)


def jobs(config: Config) -> Iterator[Job]:
    """Every back end that works here; RTL and netlist last."""
    from macsmith.experiments.measure import choose_library
    from macsmith.experiments.verify.simulators import SIMULATORS

    library = choose_library(None)
    yield Job("engine", config)
    yield Job("torch", config)
    for simulator in SIMULATORS:
        yield Job(f"RTL {simulator}", config)
    yield Job(f"netlist {library.name if library else ''}".strip(), config)


def source(config: Config) -> str:
    """Where the operands are from."""
    return from_layer(config.specs[0]).source


def _row(
    spec: MacSpec, backend: str, products: int, sums: int, mismatches: int, reason: str = ""
) -> dict:
    """One line of the report; `overflowed` counts golden sums (of `_sums`) that left the range."""
    name = f"{spec.weights.name}, {spec.acc_width} bits {spec.overflow}"
    return {
        "weights": name,
        "backend": backend,
        "products": products,
        "sums": sums,
        "mismatches": mismatches,
        "overflowed": _overflowed(spec) if products else 0,
        "reason": reason,
    }


@lru_cache(maxsize=64)
def _sums(spec: MacSpec) -> tuple:
    """(activation codes, outputs, golden accumulators) of the first tokens and outputs."""
    layer, _, found = layer_codes(spec)
    a = found.codes[:TOKENS].numpy()
    w = layer.qweight[:OUTPUTS].numpy()
    z = None if layer.zero_point is None else layer.zero_point[:OUTPUTS, 0].numpy()
    truth = [
        [golden.dot(x, u, spec, None if z is None else int(z[n])) for n, u in enumerate(w.tolist())]
        for x in a.tolist()
    ]
    return a, w, z, np.array(truth, np.int64)


@lru_cache(maxsize=64)
def _overflowed(spec: MacSpec) -> int:
    """Sums that a wider accumulator would have had otherwise. A narrow spec must have some."""
    wide = replace(spec, acc_width=60, overflow="wrap")
    count = int((_sums(spec)[-1] != _sums(wide)[-1]).sum())
    if spec.acc_width == spec.product_width and not count:
        raise AssertionError(f"no sum of the layer overflows {spec.acc_width} bits: nothing shown")
    return count


def _engine(config: Config, _: str) -> list[dict]:
    rows = []
    for spec in config.specs:
        a, w, z, truth = _sums(spec)
        prepared = engine.Weights.from_codes(w, spec, z)
        for path in engine.provable(a, prepared):
            wrong = int((engine.matmul(a, prepared, spec, path=path) != truth).sum())
            rows.append(_row(spec, f"engine {path}", truth.size * a.shape[1], truth.size, wrong))
    return rows


def _torch(config: Config, _: str) -> list[dict]:
    """The layer's float32 output against `golden.linear`, to the last bit."""
    import torch

    rows = []
    for spec in config.specs:
        layer, x, found = layer_codes(spec)
        layer.execution = "exact"
        with torch.inference_mode():
            y = layer(x[:TOKENS])[:, :OUTPUTS].numpy()
        a, w, z, truth = _sums(spec)
        wrong = 0
        for t in range(len(a)):
            for n in range(len(w)):
                due = golden.linear(
                    a[t].tolist(),
                    float(found.scale[t]),
                    int(found.zero[t]),
                    w[n].tolist(),
                    [float(layer.scale[n, 0])],
                    spec,
                    zero_points=(None if z is None else int(z[n]),),
                )
                if layer.bias is not None:
                    due = golden.float32(due + float(layer.bias[n]))
                wrong += due != float(y[t, n])
        rows.append(_row(spec, "torch", truth.size * a.shape[1], truth.size, wrong))
    return rows


def _rtl(config: Config, simulator: str) -> list[dict]:
    from macsmith.experiments.verify import runner, simulators

    streams = {spec: _first(from_layer(spec), STREAMS) for spec in config.specs}
    try:
        result = runner.run_operands(streams, simulator)
    except simulators.SimulatorMissing as error:
        return [_row(config.specs[0], f"RTL {simulator}", 0, 0, 0, str(error))]
    except simulators.BenchError as error:  # it is here and does not work: that is a difference
        reason = " ".join(str(error).split())[:200]
        return [_row(config.specs[0], f"RTL {simulator}", 0, 0, 1, reason)]
    return [
        _row(spec, f"RTL {simulator}", count, count, wrong)
        for spec, (count, wrong) in result.items()
    ]


def _netlist(config: Config, library: str) -> list[dict]:
    from macsmith.experiments.measure import measure

    if not library:
        return [_row(config.specs[0], "netlist", 0, 0, 0, "no Liberty library here")]
    rows = []
    for spec in config.specs:
        found = measure("mac", spec, pdk=library)
        rows.append(
            _row(spec, f"netlist {library}", found.compared, found.compared, found.different)
        )
    return rows


def _first(operands: Operands, streams: int) -> Operands:
    z = None if operands.z is None else operands.z[:streams]
    part = (operands.w[:streams], operands.a[:streams], z, operands.clear[:streams])
    return Operands(*part, operands.source)


_BACKENDS = {"engine": _engine, "torch": _torch, "RTL": _rtl, "netlist": _netlist}
