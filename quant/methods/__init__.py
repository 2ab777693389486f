"""Methods by step: what they make of a block. A new method is a class in `steps` and a file here.

`Scale`: (block, group, step, recipe) -> scales [K] of the group's input channels, or None.
`Prepare`: the same arguments; it changes the weights of the group's layers in place.
`Rounding`: (inputs, weight, step, recipe) -> `QuantizedWeight`; inputs are float32 [tokens, K] per
sample, empty for a method that needs none. With a `Survey` it has one argument more.
`Survey`: (model, layers, ids, step) -> what is found in the float model, by layer.
`Correction`: (inputs, float layer, quantized layer, step) -> its new bias [N].
"""

from macsmith.quant.methods import aqas, atq, aweq, awq, bias, daq, gptq, gwq, rtn, smoothquant
from macsmith.quant.methods.kinds import Method
from macsmith.quant.steps import (
    Aqas,
    Atq,
    Aweq,
    Awq,
    BiasCorrection,
    Daq,
    Gptq,
    Gwq,
    Rtn,
    SmoothQuant,
)

__all__ = ["METHODS"]

METHODS: dict[type, Method] = {
    Rtn: rtn.METHOD,
    SmoothQuant: smoothquant.METHOD,
    Awq: awq.METHOD,
    Aqas: aqas.METHOD,
    Gptq: gptq.METHOD,
    Gwq: gwq.METHOD,
    Daq: daq.METHOD,
    Aweq: aweq.METHOD,
    Atq: atq.METHOD,
    BiasCorrection: bias.METHOD,
}
