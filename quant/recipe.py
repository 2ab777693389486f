"""Recipes: what is quantized and how, typed, versioned, as TOML or by name."""

import difflib
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import tomli_w
from pydantic import (
    Field,
    PrivateAttr,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from macsmith.quant.consistent import check_recipe
from macsmith.quant.presets import CHAINS, PATTERNS, PRESETS
from macsmith.quant.steps import Part, Rtn, Step, Version, first_complaint
from macsmith.sim.catalog import get_format
from macsmith.sim.formats import Format
from macsmith.sim.spec import MAX_SUM_BITS, MacSpec

__all__ = [
    "Accumulator",
    "Activations",
    "Attention",
    "Recipe",
    "Weights",
    "matches",
]

_DEEPEST = 2**16  # products of a sum, in any layer


class Weights(Part):
    """Weight quantization: one scale per output channel, or per group of input channels."""

    format: str  # catalogue name, or the path of a format's TOML file
    group_size: StrictInt = Field(
        default=0, ge=0
    )  # 0: one scale per output channel, as in the paper
    # Of formats without a zero point:
    divisor: Literal["both", "mean", "full", "ends"] = "both"
    # A scale below 0 turns a format over, so that the longer of its ends lies on the other side.
    # "error": where that leaves the smaller squared error of the channel's, or group's, weights
    # rounded to nearest. "tail": where the weights' longer tail is. "positive": nowhere. Ours; with
    # divisor "both" the longer end is hardly used: "ends" goes with it, or "full".
    orientation: Literal["positive", "error", "tail"] = "positive"
    steps: Literal["steps", "levels"] = "steps"  # of zero-pointed formats
    extend_to_zero: StrictBool = True  # of zero-pointed formats; AWQ's quantizer has it False
    # Which errors are made, to see what each costs; all but "all" are computed in float only (see
    # `macsmith.quant.counterfactual`).
    errors: Literal["all", "without-rounding", "without-underflow"] = "all"


class Activations(Part):
    """Activation quantization, one scale per token, computed from that token alone."""

    format: str = "int8"
    # The paper's scheme: min-max with zero in the range. Formats that are not two's complement
    # have no zero point on this side and need "token-symmetric". "float": activations stay as they
    # are, format and accumulator say nothing, and there is no exact execution (W4A16).
    scheme: Literal["token-asymmetric", "token-symmetric", "float"] = "token-asymmetric"
    divisor: Literal["both", "mean", "full"] = "both"  # of "token-symmetric"

    @property
    def quantized(self) -> bool:
        """Whether activations have codes."""
        return self.scheme != "float"


class Attention(Part):
    """Attention's two matrix products quantized too (W4A8V4; see `macsmith.quant.attention`).

    Queries and probabilities are quantized as activations are; keys, per token, and values, per
    channel, as weights are. The paper: all 8 bits but the value's 4, min-max with zero in the
    range. It is for every module that attends, whichever of its linear layers are quantized, but
    for those that the recipe's `ignore` matches.
    """

    value: Weights = Weights(format="dint4z")
    key: Weights = Weights(format="int8z")
    activations: Activations = Activations()


class Accumulator(Part):
    """The part of a `MacSpec` that is not a format."""

    # Enough for the paper's MACs at any depth of an OPT or LLaMA model. Presets have more where
    # their format needs more.
    width: StrictInt = 32
    overflow: Literal["exact", "wrap", "saturate"] = "wrap"  # what plain hardware does
    lanes: StrictInt = 1  # one product per cycle, as in the paper's MAC


class Recipe(Part):
    """Everything that decides a quantized model's numbers, but for the model and its calibration.

    Steps run in order: those that prepare, one that rounds, those that correct what it made.
    """

    version: Version = 1
    name: str = ""
    weights: Weights
    activations: Activations = Activations()
    attention: Attention | None = None  # None: attention's products stay in float
    accumulator: Accumulator = Accumulator()
    steps: tuple[Step, ...] = (Rtn(),)
    # Module names or patterns (`*` and `?`) left alone; one without a dot is a last name component.
    # lm_head: it is tied to the embedding in most models, runs once per token, and the paper
    # quantizes the decoder layers only.
    ignore: tuple[str, ...] = ("lm_head",)
    # What a block is calibrated on: what the blocks before put out as they are quantized by then,
    # as in GPTQ's released code, or in float, as in SmoothQuant's and AWQ's. One for all steps.
    prefix: Literal["quantized", "float"] = "quantized"
    # In place of formats' files, by their names: validation's context, from a quantized folder.
    _formats: dict[str, Format] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> "Recipe":
        self._formats.update(info.context or {})
        check_recipe(self)  # when the recipe is read, and not when it is used
        return self

    @property
    def float_only(self) -> str | None:
        """What keeps the recipe from exact execution, if anything does."""
        if not self.activations.quantized:
            return "leaves activations in float"
        return None if self.weights.errors == "all" else f"is {self.weights.errors}"

    def ignores(self, name: str) -> bool:
        """Whether a pattern of `ignore` matches a module's full name."""
        return any(matches(name, pattern) for pattern in self.ignore)

    @property
    def calibrated(self) -> bool:
        """Whether one of the steps needs calibration."""
        return any(step.calibrated for step in self.steps)

    def spec(self) -> MacSpec:
        """The `MacSpec` of every quantized layer."""
        return self._spec(self.weights, self.activations)

    def attention_specs(self) -> tuple[MacSpec, MacSpec]:
        """The `MacSpec` of Q K^T and that of P V; ValueError without ``attention``."""
        if self.attention is None:
            raise ValueError("the recipe leaves attention in float")
        key, value, other = (getattr(self.attention, n) for n in ("key", "value", "activations"))
        return self._spec(key, other), self._spec(value, other)

    def _spec(self, weights: Weights, activations: Activations) -> MacSpec:
        names = (weights.format, activations.format)
        formats = [self._formats.get(name) or get_format(name) for name in names]
        if not activations.quantized:  # nothing is accumulated: as wide as there is
            return MacSpec(*formats, acc_width=MAX_SUM_BITS, overflow="exact")
        return MacSpec(
            *formats,
            acc_width=self.accumulator.width,
            overflow=self.accumulator.overflow,
            lanes=self.accumulator.lanes,
        )

    @classmethod
    def get(cls, recipe: "str | Path | Recipe") -> "Recipe":
        """A preset by name, a recipe from a `.toml` file, or a `Recipe` as it is.

        ValueError naming the nearest preset, or what is wrong with the file.
        """
        if isinstance(recipe, Recipe):
            return recipe
        if str(recipe).endswith(".toml"):
            return cls.load(recipe)
        if str(recipe) not in PRESETS:
            near = difflib.get_close_matches(str(recipe), PRESETS, n=1)
            hint = f"wanted {PATTERNS}, steps {', '.join(CHAINS)}"
            hint = f"the nearest is {near[0]!r}" if near else hint
            raise ValueError(f"unknown recipe {str(recipe)!r}; {hint} (or give a .toml file)")
        preset = PRESETS[str(recipe)]
        weights = Weights(format=preset.format)
        one = MacSpec(weights.format, Activations().format, MAX_SUM_BITS, "exact")
        usual = Accumulator().width
        width = usual if preset.weight_only else max(usual, one.depth_width(_DEEPEST))
        return cls(
            name=str(recipe),
            weights=weights,
            accumulator=Accumulator(width=width),
            activations=Activations(**({"scheme": "float"} if preset.weight_only else {})),
            attention=Attention(value=weights) if preset.attention else None,
            steps=preset.steps,
        )

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """Read a TOML file; a format file named in it is found relative to the recipe's folder."""
        path = Path(path)
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path}: cannot read this recipe: {error.strerror}") from None
        except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested too deep
            raise ValueError(f"{path}: not a TOML file: {error}") from None
        attention = table.get("attention")
        for part in (table, attention if isinstance(attention, dict) else {}):
            for options in part.values():
                named = options.get("format") if isinstance(options, dict) else None
                if isinstance(named, str) and named.endswith(".toml"):
                    options["format"] = str((path.parent / named).resolve())
        table.setdefault("name", path.stem)
        try:
            return cls.model_validate(table)
        except ValidationError as error:
            raise ValueError(f"{path}: {first_complaint(error)}") from None

    def save(self, path: str | Path) -> None:
        """Write the recipe as TOML, every field spelled out; `load` gives an equal recipe."""
        table = self.model_dump(mode="json", exclude_none=True)
        Path(path).write_text(tomli_w.dumps(table), encoding="utf-8")


def matches(name: str, pattern: str) -> bool:
    """Whether a module's full name, or its last component for a pattern without a dot, does."""
    return fnmatchcase(name if "." in pattern else name.rpartition(".")[2], pattern)
