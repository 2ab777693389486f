"""What in a recipe contradicts another part of it, or does nothing beside it: refused, each with
its place, so that what a recipe says is what was done."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from macsmith.quant.steps import Aqas, Atq, Awq, Daq, Gptq, Gwq, Part
from macsmith.sim.formats import Format

if TYPE_CHECKING:
    from macsmith.quant.recipe import Activations, Recipe, Weights

__all__ = ["check_recipe"]


def check_recipe(recipe: "Recipe") -> None:
    """ValueError for the first such place; a wrong format or accumulator is one too."""
    spec = recipe.spec()
    _check_activations(recipe.activations, spec.activations, "activations")
    _check_weights(recipe.weights, spec.weights, "weights")
    if attention := recipe.attention:
        key, value = recipe.attention_specs()
        _check_activations(attention.activations, key.activations, "attention.activations")
        _check_weights(attention.key, key.weights, "attention.key")
        _check_weights(attention.value, value.weights, "attention.value")
        if not attention.activations.quantized:
            raise ValueError(
                "attention.activations.scheme is 'float': leave attention out of the recipe"
            )
    elif not recipe.activations.quantized:
        for name in type(recipe.accumulator).model_fields:
            why = "sums of codes, and activations.scheme is 'float'"
            _leave_out(recipe.accumulator, name, "accumulator", why)
    _check_order(recipe)
    if not recipe.calibrated:
        _leave_out(recipe, "prefix", "", "steps that are calibrated")
    for k, step in enumerate(recipe.steps):
        for names, why in _idle(step, recipe.weights):
            for name in names:
                _leave_out(step, name, f"steps.{k}.{step.method}", why)
    if any(isinstance(step, Daq) for step in recipe.steps):
        _check_daq(recipe, spec.weights)
    _check_errors(recipe)


def _leave_out(part: Part, name: str, where: str, why: str) -> None:
    """ValueError unless the option is as it is where nothing is said."""
    if (given := getattr(part, name)) != type(part).model_fields[name].default:
        place = f"{where}.{name}".removeprefix(".")
        raise ValueError(f"{place} {given!r} is for {why}: leave it out")


def _check_weights(weights: "Weights", fmt: Format, where: str) -> None:
    without, idle = "without", ("divisor", "orientation")
    if not fmt.zero_pointed:
        without, idle = "with", ("steps", "extend_to_zero")
    for name in idle:
        _leave_out(weights, name, where, f"formats {without} a zero point, not {fmt.name!r}")


def _check_activations(activations: "Activations", fmt: Format, where: str) -> None:
    if activations.scheme == "token-asymmetric" and not fmt.is_twos_complement:
        raise ValueError(
            f"{where}.scheme 'token-asymmetric' needs a two's-complement format, "
            f"not {fmt.name!r}: use 'token-symmetric'"
        )
    if not activations.quantized:
        _leave_out(activations, "format", where, "activations with codes, not scheme 'float'")
    if activations.scheme != "token-symmetric":
        why = f"scheme 'token-symmetric', not {activations.scheme!r}"
        _leave_out(activations, "divisor", where, why)


def _idle(step: Part, weights: "Weights") -> Iterator[tuple[tuple[str, ...], str]]:
    """Options of a step that do nothing beside the others, and what they are for."""
    match step:
        case Awq(clip=False) | Aqas(clip=False):
            yield ("clip_skip",), "clip = true"
        case Atq(rule="median"):
            yield ("quantile",), "rule 'quantile', not 'median'"
        case Gptq(order="activation"):
            yield ("group_scales",), "order 'index', not 'activation', where they are fixed"
        case Gptq() if not weights.group_size:
            yield ("group_scales",), "groups, and weights.group_size is 0"
        case Daq(epochs=0):
            idle = "iterations", "step", "rate", "decay", "growth", "patience"
            yield idle, "epochs, and epochs is 0"
        case Gwq(fraction=0):
            yield ("scope", "values"), "weights that are kept, and fraction is 0"


def _check_order(recipe: "Recipe") -> None:
    if not recipe.steps:
        raise ValueError("steps: wanted at least one, for example method 'rtn'")
    stages = [1 if step.rounds else 2 * step.corrects for step in recipe.steps]
    if stages.count(1) != 1 or stages != sorted(stages):
        methods = ", ".join(step.method for step in recipe.steps)
        raise ValueError(
            "steps: wanted one that rounds (rtn, gptq, gwq, daq), the last but for "
            f"corrections; got {methods}"
        )


def _check_daq(recipe: "Recipe", fmt: Format) -> None:
    if fmt.zero_pointed:
        raise ValueError(f"steps: daq has a zero point of its own, {fmt.name} another")
    for name, usual in (("divisor", "both"), ("orientation", "positive")):
        if (given := getattr(recipe.weights, name)) != usual:
            raise ValueError(
                f"weights.{name} {given!r}: daq finds its scales itself, with {usual!r}"
            )


def _check_errors(recipe: "Recipe") -> None:
    sides = {"weights": recipe.weights}
    if recipe.attention:
        sides |= {f"attention.{n}": getattr(recipe.attention, n) for n in ("key", "value")}
    for where, options in sides.items():
        if options.errors == "all":
            continue
        if where != "weights":
            raise ValueError(f"{where}.errors {options.errors!r}: only layers leave errors out")
        if beside := [s.method for s in recipe.steps if isinstance(s, (Daq, Gwq))]:
            raise ValueError(
                f"weights.errors {options.errors!r}: {beside[0]}'s weights are not codes alone"
            )
