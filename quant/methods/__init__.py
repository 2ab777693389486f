"""Methods by step: what they make of a block. A new method is a class in `steps` and a file here,
with a `kinds.Method`.
"""

from macsmith.quant import steps
from macsmith.quant.methods import aqas, atq, aweq, awq, bias, daq, gptq, gwq, rtn, smoothquant
from macsmith.quant.methods.kinds import Method

__all__ = ["METHODS"]

METHODS: dict[type, Method] = {
    steps.Rtn: rtn.METHOD,
    steps.SmoothQuant: smoothquant.METHOD,
    steps.Awq: awq.METHOD,
    steps.Aqas: aqas.METHOD,
    steps.Gptq: gptq.METHOD,
    steps.Gwq: gwq.METHOD,
    steps.Daq: daq.METHOD,
    steps.Aweq: aweq.METHOD,
    steps.Atq: atq.METHOD,
    steps.BiasCorrection: bias.METHOD,
}
