"""Methods by step: what they make of a block. A new method is a class in `steps` and a file here.

`Scale`: (block, group, step, recipe) -> scales [K] of the group's input channels, or None.
`Prepare`: the same arguments; it changes the weights of the group's layers in place.
`Rounding`: (inputs, weight, step, recipe) -> `QuantizedWeight`; inputs are float32 [tokens, K] by
call of the block, of the step's samples, made as they are gone through (`blocks.Inputs`), empty for
a method that needs none. With a `Survey` it has one argument more.
`Survey`: (model, layers, ids, step) -> what is found in the float model, by layer.
`Correction`: (inputs, float layer, quantized layer, step) -> its new bias [N].
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
