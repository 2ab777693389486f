"""`quantization_config` of a quantized folder's config.json: what it says, and that it agrees.

    recipe      what `Recipe` writes
    spec        of the layers: both formats with their tables, and the accumulator. All but the
                weights' is null where activations stay in float
    attention   the specs of attention's two products, or null
    layers      names of the quantized layers
    biased      those with a bias; null: as the model has it
    kept        those that keep weights in float, with count and dtype
    offset      those that have one

Recipe and specs say the same thing twice: a folder needs no catalogue and no user's file. Where
they differ nobody knows which numbers were saved, so that is refused.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, ValidationError, model_validator

from macsmith.quant.recipe import Recipe
from macsmith.quant.steps import Part, Version, first_complaint
from macsmith.sim.formats import Format
from macsmith.sim.spec import MacSpec

__all__ = ["METHOD", "checked", "recipe_of", "specs_of"]

METHOD = "macsmith.quant"  # what to import: transformers prints it where it is not known


def checked(table: Mapping[str, Any]) -> dict[str, Any]:
    """All keys above, as JSON has them.

    ValueError naming the first key that is unknown or missing, has a value of the wrong kind, or
    contradicts the recipe.
    """
    try:
        found = _Table.model_validate(table).model_dump(mode="json")
    except ValidationError as error:
        raise ValueError(f"quantized folder: {first_complaint(error)}") from None
    specs = dict(_leaves({key: found[key] for key in ("spec", "attention")}))
    wanted = dict(_leaves(specs_of(recipe_of(found))))
    for key in (*wanted, *specs):
        came, said = specs.get(key), wanted.get(key)
        if came != said and not key.endswith(".source"):  # a text about the format
            raise ValueError(f"quantized folder: {key} is {came!r}, by the recipe it is {said!r}")
    return found


def recipe_of(table: Mapping[str, Any]) -> Recipe:
    """The recipe, with the folder's formats where it names files; ValueError as above."""
    try:
        return Recipe.model_validate(table["recipe"], context=dict(_users_formats(table)))
    except ValidationError as error:
        raise ValueError(f"quantized folder: {first_complaint(error, 'recipe')}") from None


def specs_of(recipe: Recipe) -> dict[str, Any]:
    """The values of "spec" and "attention" of a folder quantized by ``recipe``."""
    spec = _spec(recipe.spec())
    if not recipe.activations.quantized:
        spec = dict.fromkeys(spec) | {"weights": spec["weights"]}
    attention = recipe.attention and [_spec(spec) for spec in recipe.attention_specs()]
    return {"spec": spec, "attention": attention}


def _spec(spec: MacSpec) -> dict[str, Any]:
    return {
        "weights": _format(spec.weights),
        "activations": _format(spec.activations),
        "acc_width": spec.acc_width,
        "overflow": spec.overflow,
        "lanes": spec.lanes,
    }


def _format(fmt: Format) -> dict[str, Any]:
    return {
        "name": fmt.name,
        "width": fmt.width,
        "levels": list(fmt.levels),
        "frac_bits": fmt.frac_bits,
        "affine": sorted(fmt.affine),
        "source": fmt.source,
    }


class _Format(Part):
    name: str
    width: StrictInt
    levels: tuple[StrictInt, ...]
    frac_bits: StrictInt
    affine: tuple[StrictInt, ...]
    source: str


class _Spec(Part):
    weights: _Format
    activations: _Format | None
    acc_width: StrictInt | None
    overflow: str | None
    lanes: StrictInt | None


class _Kept(Part):
    count: Annotated[StrictInt, Field(ge=0)]
    dtype: Literal["float16", "float32"]


class _Table(Part):
    recipe: dict[str, Any]
    spec: _Spec
    layers: Annotated[tuple[str, ...], Field(min_length=1)]
    attention: tuple[_Spec, _Spec] | None = None  # Q K^T and P V
    biased: tuple[str, ...] | None = None
    kept: dict[str, _Kept] = Field(default_factory=dict)
    offset: tuple[str, ...] = ()
    version: Version = 1
    quant_method: str = METHOD

    @model_validator(mode="after")
    def _names(self) -> "_Table":
        names = set(self.layers)
        if len(names) < len(self.layers):
            twice = next(name for name in self.layers if self.layers.count(name) > 1)
            raise ValueError(f"layers: {twice!r} is there twice")
        for what in ("biased", "kept", "offset"):
            if unknown := [name for name in getattr(self, what) or () if name not in names]:
                raise ValueError(f"{what}: {unknown[0]!r} is none of the layers")
        return self


def _users_formats(table: Mapping[str, Any]) -> Iterator[tuple[str, Format]]:
    """Those that the recipe names by a file, which need not be here."""
    stored = {side: table["spec"][side] for side in ("weights", "activations")}
    if table["attention"]:
        key, value = table["attention"]
        stored |= {"attention.key": key["weights"], "attention.value": value["weights"]}
        stored["attention.activations"] = key["activations"]
    named = dict(_leaves(table["recipe"]))
    for side, fmt in stored.items():
        if fmt and str(named.get(f"{side}.format")).endswith(".toml"):
            yield named[f"{side}.format"], Format(**fmt | {"affine": frozenset(fmt["affine"])})


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Whatever is no list and no dictionary, with the way to it."""
    if isinstance(value, (dict, list)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
