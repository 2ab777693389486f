"""The `macsmith` command itself, and the options that several of its commands have."""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from macsmith.experiments.widths import width_of
from macsmith.sim.names import suggestion

__all__ = [
    "AccWidth", "ActivationsOption", "App", "Commands", "Json", "Lanes", "Liberty", "Overflow",
    "Style", "Unit", "UnitOptions", "WeightsOption", "app", "calibration_options", "refuse",
    "refuse_with_all", "require_with", "unit_options",
]  # fmt: skip


#: From a format to what it costs, as a newcomer meets them.
ORDER = (
    "formats", "verilog", "datasheet", "verify", "prove", "mutants", "synth", "styles", "codemap",
    "explore", "published", "quantize", "eval", "export", "scales", "errors", "slac", "reproduce",
    "pdk", "doctor",
)  # fmt: skip


class Commands(TyperGroup):
    """Commands in `ORDER`; an unknown one is answered with the nearest, or with all."""

    def list_commands(self, ctx):
        return [name for name in dict.fromkeys((*ORDER, *self.commands)) if name in self.commands]

    def resolve_command(self, ctx, args):
        if args and args[0] not in self.commands:
            raise ValueError(
                f"unknown command {args[0]!r}; {suggestion(args[0], self.list_commands(ctx))}"
            )
        return super().resolve_command(ctx, args)


class Command(TyperCommand):
    """A command that refuses options which mean nothing to its unit, or to any of its units.

    With ``--all``, where several options are of some units only, they stay.
    """

    def invoke(self, ctx):
        units = ctx.params.get("unit") or ctx.params.get("units") or ()
        units = [units] if isinstance(units, str) else units
        if units and not any("--all" in p.opts and ctx.params[p.name] for p in self.params):
            from macsmith.experiments.units import get_unit

            ignored = frozenset.intersection(*(get_unit(name).ignores for name in units))
            refuse(ctx, ignored, f"means nothing to {' or '.join(units)}")
        return super().invoke(ctx)


def require_with(ctx: typer.Context, name: str, *others: str) -> None:
    """ValueError if one of the parameters ``others`` is given without ``name``."""
    if not ctx.params[name]:
        refuse(ctx, others, f"goes with {_option(ctx, name)}")


def refuse(ctx: typer.Context, names: Collection[str], why: str) -> None:
    """ValueError with the first of the parameters that the command line itself gives, and why."""
    for name in sorted(ctx.params.keys() & set(names)):
        if ctx.get_parameter_source(name).name == "COMMANDLINE":
            raise ValueError(f"{_option(ctx, name)} {why}")


def refuse_with_all(ctx: typer.Context, *others: str) -> None:
    """ValueError if a parameter of the spec or of a unit, or one of ``others``, is given."""
    names = {"activations", "acc_width", "overflow", "lanes", *_OF_UNITS, *others}
    refuse(ctx, names, "does not go with --all, which chooses it")


def _option(ctx: typer.Context, name: str) -> str:
    """A parameter as the command line writes it."""
    return next(max(p.opts, key=len) for p in ctx.command.params if p.name == name)


class App(typer.Typer):
    """Its commands are `Command`."""

    def command(self, *args, **kwargs):
        return super().command(*args, cls=Command, **kwargs)


app = App(
    cls=Commands,
    help="Define a number format once; get RTL, simulation, a quantized model, area and energy.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Unit = Annotated[
    str,
    typer.Argument(
        help="decoder, multiplier, mac, dot, shared, array, gemm, requantizer or float_mac"
    ),
]
WeightsOption = Annotated[str, typer.Option("--weights", help="format: a name or a .toml file")]
ActivationsOption = Annotated[str, typer.Option("--activations", help="the same, of activations")]
AccWidth = Annotated[
    int,
    typer.Option(
        parser=width_of,
        metavar="BITS",
        help="bits of the accumulator; depth:N is as many as N products need",
    ),
]
Overflow = Annotated[str, typer.Option(help="exact, wrap or saturate")]
Lanes = Annotated[
    int | None,
    typer.Option(help="products summed exactly before they enter it; else 1, or 8 of a dot"),
]
Style = Annotated[str, typer.Option(help="microarchitecture of the unit")]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on standard output")]
Liberty = Annotated[
    list[Path] | None, typer.Option("--liberty", help="Liberty file; several belong together")
]

#: Options that some units have and others refuse; what is not given is the unit's own default.
_OF_UNITS = {
    "pipeline": (int, "registers on the way to the accumulator or the result"),
    "outputs": (int, "sums that share an activation"),
    "rows": (int, "rows of an array or a gemm"),
    "cols": (int, "columns of an array or a gemm"),
    "dataflow": (str, "of an array or a gemm: output or weight (what is stationary)"),
    "decode": (str, "of an array or a gemm: element or edge (where codes are decoded)"),
    "depth": (int, "of a gemm: most products of a sum"),
    "exits": (int, "of a gemm: results that leave in a cycle"),
    "zero_points": (bool, "of a gemm: whether activations have them"),
    "sums": (bool, "of a gemm: whether corrected sums come out beside the results"),
    "requantizer": (str, "of a gemm: style of its requantizers"),
    "rounding": (str, "of a requantizer: half-up, half-even, half-away or tflite"),
    "fmt": (str, "of a floating-point MAC: fp16 or bf16"),
}

#: What models are calibrated on; what is not given is the default of `Calibration`.
_OF_CALIBRATION = {
    "calibration": (str, "text: docs (this Python's), a WikiText folder, a text file; else docs"),
    "samples": (int, "calibration samples; else 32"),
    "length": (int, "tokens of a calibration sample; else 128"),
    "task": (str, "text file, a sequence of the task on each line: their mean length (SLAC)"),
    "seed": (int, "which samples are drawn; else 0"),
}

#: How a model is loaded; what is not given is the default of `Loading`.
_OF_LOADING = {
    "dtype": (str, "of what is not quantized: float16, bfloat16, auto (the file's); else float32"),
    "device": (str, "where it computes: cuda, cuda:1; else cpu"),
}

UnitOptions = dict[str, Any]


def _several(
    parameter: str, options: Mapping[str, tuple[type, str]], made: Callable[[dict[str, Any]], Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator: a command's ``parameter`` becomes ``options``, their names, types and help.

    The command gets what ``made`` makes of a dictionary of those that were given.
    """
    kind = inspect.Parameter.KEYWORD_ONLY
    extra = [
        inspect.Parameter(
            name,
            kind,
            default=None,
            annotation=Annotated[of | None, typer.Option(_flag(name, of), help=text)],
        )
        for name, (of, text) in options.items()
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        parameters = []
        for each in signature.parameters.values():
            parameters += extra if each.name == parameter else [each.replace(kind=kind)]

        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            mine = {name: given.pop(name) for name in options}
            chosen = {name: value for name, value in mine.items() if value is not None}
            command(**given, **{parameter: made(chosen)})

        wrapped.__signature__ = signature.replace(parameters=parameters)
        wrapped.__annotations__ = {p.name: p.annotation for p in parameters}
        return wrapped

    return decorate


def _flag(name: str, of: type) -> str:
    flag = name.replace("_", "-")
    return f"--{flag}/--no-{flag}" if of is bool else f"--{flag}"


def _calibration(given: dict[str, Any]) -> Any:
    from macsmith.experiments.models.calibration import Calibration

    if {"length", "task"} <= given.keys():
        raise ValueError("--task says what --length does: give one of them")
    text = {"text": given.pop("calibration")} if "calibration" in given else {}
    return Calibration(**text, **given)


def _loading(given: dict[str, Any]) -> Any:
    from macsmith.experiments.loading import Loading

    return Loading(**given)


#: A command's parameter ``options``: a dictionary of the units' options that were given.
unit_options = _several("options", _OF_UNITS, dict)
#: A command's parameter ``calibration``: a `Calibration`.
calibration_options = _several("calibration", _OF_CALIBRATION, _calibration)
#: A command's parameter ``where``: a `Loading`.
loading_options = _several("where", _OF_LOADING, _loading)


def refuse_calibration(ctx: typer.Context, recipe: str | None) -> None:
    """ValueError if samples are asked for that nothing is calibrated on."""
    from macsmith.quant import Recipe

    if recipe is None:
        refuse(ctx, _OF_CALIBRATION, "goes with --recipe")
    elif not Recipe.get(recipe).calibrated:
        refuse(ctx, _OF_CALIBRATION, f"means nothing to {recipe}, which is not calibrated")
