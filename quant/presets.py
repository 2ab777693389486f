"""Recipes by name: chains of steps, and the formats that each goes with.

    w4a8-STEPS-dint4        activations in INT8
    w4a8v4-STEPS-dint4z     attention's products quantized too, values in the weights' format
    w4a16-STEPS-int4        weights only
    w8a8-STEPS              INT8 by its short name

A chain of steps is named here once, with the choices in which it is not the steps' default.
"""

from typing import NamedTuple

from macsmith.quant import steps
from macsmith.sim.catalog import FORMATS
from macsmith.sim.formats import Format

__all__ = ["CHAINS", "PATTERNS", "PRESETS", "Preset"]

CHAINS: dict[str, tuple[steps.Step, ...]] = {
    "rtn": (steps.Rtn(),),
    "gptq": (steps.Gptq(),),
    "gwq": (steps.Gwq(),),
    "daq": (steps.Daq(),),
    "smoothquant": (steps.SmoothQuant(), steps.Rtn()),
    "smoothquant-gptq": (steps.SmoothQuant(), steps.Gptq()),
    "awq": (steps.Awq(), steps.Rtn()),
    "awq-gptq": (steps.Awq(), steps.Gptq()),
    "awq-daq": (steps.Awq(clip=False), steps.Daq()),
    "aqas": (steps.Aqas(), steps.Rtn()),
    "aqas-gptq": (steps.Aqas(), steps.Gptq()),
    "atq": (steps.Atq(), steps.Gptq()),
    "aweq": (steps.Aweq(), steps.Rtn(), steps.BiasCorrection()),
    "aweq-gptq": (steps.Aweq(), steps.Gptq(), steps.BiasCorrection()),
}
PATTERNS = "w8a8-STEPS, w<bits>a8-STEPS-FORMAT, w<bits>a8v<bits>-.. or w<bits>a16-.."


class Preset(NamedTuple):
    """What a name stands for; the rest is the default of the recipe's classes."""

    steps: tuple[steps.Step, ...]
    format: str  # of weights, and of values where attention is quantized
    attention: bool = False
    weight_only: bool = False


def _of_format(chain: str, fmt: Format) -> dict[str, Preset]:
    mine, bits = Preset(CHAINS[chain], fmt.name), f"w{fmt.width}"
    found = {
        f"{bits}a8-{chain}-{fmt.name}": mine,
        f"{bits}a8v{fmt.width}-{chain}-{fmt.name}": mine._replace(attention=True),
        f"{bits}a16-{chain}-{fmt.name}": mine._replace(weight_only=True),
    }
    return found | ({f"w8a8-{chain}": mine} if fmt.name == "int8" else {})


#: Every chain with every format of the catalogue; "daq" has a zero point of its own and goes with
#: formats that have none.
PRESETS: dict[str, Preset] = {
    name: preset
    for chain in CHAINS
    for fmt in FORMATS.values()
    if not (fmt.zero_pointed and "daq" in chain)
    for name, preset in _of_format(chain, fmt).items()
}
