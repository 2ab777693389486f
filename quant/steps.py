"""The steps of a recipe: one class for each method, with its source and its choices.

A field says whose choice its default is: the paper's, its released code's, or ours where both are
silent. Scales and clips prepare a block's weights; one step rounds them; corrections may follow.

`samples` of a step are the first of the calibration. Its default means no more than there are; any
other number is what the calibration has to have.
"""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
)

__all__ = [
    "Aqas",
    "Atq",
    "Aweq",
    "Awq",
    "BiasCorrection",
    "Daq",
    "Gptq",
    "Gwq",
    "Part",
    "Rtn",
    "SmoothQuant",
    "Step",
    "Version",
    "first_complaint",
]

Positive = Annotated[StrictInt, Field(ge=1)]
Number = Annotated[float, Field(strict=True)]  # no "0.1" and no true


def _counted(version: Any) -> Any:
    if isinstance(version, (bool, float)):  # Python takes True and 1.0 for 1
        raise ValueError(f"wanted 1, not {version}")
    return version


Version = Annotated[Literal[1], BeforeValidator(_counted)]  # of recipes, and of quantized folders


class Part(BaseModel):
    """A part of a recipe: a misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Step(Part):
    """Whether a step rounds or corrects what is rounded, and whether it needs calibration."""

    rounds: ClassVar[bool] = False
    corrects: ClassVar[bool] = False
    calibrated: ClassVar[bool] = True


class Rtn(_Step):
    """Round each weight to the nearest level. Needs no calibration."""

    rounds: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    method: Literal["rtn"] = "rtn"


class SmoothQuant(_Step):
    """s_j = max|X_j|^alpha / max|W_j|^(1 - alpha), folded into the norm before (Xiao et al. 2023).

    Only inputs that come from a norm are scaled, as in its released code, which takes maxima in the
    float model: the recipe's `prefix`.
    """

    method: Literal["smoothquant"] = "smoothquant"
    alpha: Number = Field(default=0.5, ge=0, le=1)  # the paper's for OPT


class _Search(_Step):
    """What searches for scales and clips have in common."""

    samples: Positive = 8  # of the calibration, for the search; ours: it is most of the time
    clip: StrictBool = True
    # Layers that are not clipped: names or patterns, as in a recipe's `ignore`. None: queries' and
    # keys', and one layer for these and values, which AWQ's released code tells by their names
    # (its first version clipped the latter); here they are found by trying (see `roles`).
    clip_skip: tuple[str, ...] | None = None


class Awq(_Search):
    """argmin_s ||Q(W s)(X / s) - W X||, then a clip of each row (Lin et al. 2023).

    `grid` "1d" is the released code's: s = mean|X|^a, a in {0 .. 19}/20. "2d" is the paper's first
    version: s = mean|X|^a mean|W|^-b. Its X is the float model's: the recipe's `prefix`.
    """

    method: Literal["awq"] = "awq"
    grid: Literal["1d", "2d"] = "1d"


class Aqas(_Search):
    """Eq. 1 of Lee et al. 2023: as AWQ, with activations quantized too; then a clip.

    The paper chose abs-max representatives (its Table 8 has both) and the output of attention as
    the objective for what enters attention. Here "attention" is: layers with one input are judged
    together, at the output of the smallest module around them, or at theirs where that is the
    block; so is one layer for queries, keys and values. So a gate and what it gates are judged at
    the MLP's, of which the paper says nothing; AWQ's released code does the same. The block's own
    queries, keys, values and probabilities are in float meanwhile, in W4A8V4 too; its inputs come
    from blocks that have theirs quantized.

    Its grid is not written down: "2d" is s = X^a W^-b, a and b in {0 .. 19}/20, AWQ's of that time;
    "1d", the default because it takes a twentieth of the time, ties b = 1 - a. Whether its clips
    see quantized activations is not said; here they do. No scale at all and SmoothQuant's are
    candidates besides.
    """

    method: Literal["aqas"] = "aqas"
    representative: Literal["max", "mean"] = "max"
    grid: Literal["1d", "2d"] = "1d"
    objective: Literal["attention", "layers"] = "attention"


class Gptq(_Step):
    """Columns one by one, each error spread over those that follow (Frantar et al. 2023: OPTQ).

    `order` "activation" takes the columns with the largest inputs first (act-order); groups' scales
    are then fixed before, since a group's columns no longer follow each other. The weights of an
    input that is always 0 become 0 first, and are in no range; in the released code they are in a
    whole row's, though not in a group's.
    """

    rounds: ClassVar[bool] = True
    method: Literal["gptq"] = "gptq"
    damping: Number = Field(default=0.01, gt=0)  # of the Hessian's mean diagonal
    order: Literal["index", "activation"] = "index"
    # Of groups in order "index": from the weights as they are by then, which is "updated" and what
    # None means there, or as they were.
    group_scales: Literal["updated", "fixed"] | None = None
    # What a layer is rounded on: "block", with the rest of its block in float, is the released
    # code's default; "layer", with the layers before it rounded, is its --true-sequential.
    inputs: Literal["block", "layer"] = "block"


class Daq(_Step):
    """Q(w) = (q - zp) s with a real zero point, the range set by density and by output (DAQ, 2024).

    Two stages, per row or per row and group. Alignment: with c half way between two quantiles of
    the weights, the range is centred on c and reaches `reach` of the way to the farthest weight:
    s = reach max(max w - c, c - min w) / (largest level both signs have), zp = -c / s. Adjustment:
    zp +- e and s (1 +- e) are tried on the mean over tokens of (x Q(w) - x w)^2, and the better
    side is taken where it beats the point itself. All numbers are the released code's, and its
    scripts calibrate on one or two blocks of 512 tokens; that the centre is the quantiles' is how
    its stage reads. For formats without a zero point of their own: NF4 and both FP4 lists (fp4_bnb,
    fp4_daq) are its. It follows AWQ's scales with AWQ's own clip off (`clip = false`), as there.
    """

    rounds: ClassVar[bool] = True
    method: Literal["daq"] = "daq"
    samples: Positive = 8  # of the calibration: of 128 tokens each, as many as in two of its blocks
    coverage: Number = Field(default=0.95, gt=0, le=1)  # of the weights, between the two quantiles
    reach: Number = Field(default=0.9, gt=0, le=100)
    # "center": the paper's stage. "zero": zp starts at 0, with the same s, as in its code today.
    start: Literal["center", "zero"] = "center"
    epochs: StrictInt = Field(default=10, ge=0)  # 0: alignment only
    iterations: Positive = 100  # in an epoch, which starts the two steps anew
    # e is `step` / `rate`, times `decay` each time, in every second iteration; `step` `rate`, times
    # `growth` each time, in the others: one refines, one explores.
    step: Number = Field(default=1e-3, gt=0)
    rate: Number = Field(default=5, ge=1)
    decay: Number = Field(default=0.9, gt=0, le=1)
    growth: Number = Field(default=1.1, ge=1)
    # An epoch ends when no row of the layer has moved in more iterations than these, counted over
    # all epochs, each of which counts for one.
    patience: StrictInt = Field(default=5, ge=0)


class Gwq(_Step):
    """The weights with the largest gradients stay in float, the others are rounded (GWQ, 2024).

    The paper keeps 1 % of the weights in FP16, by the gradient on one calibration sample, and
    rounds the others in groups (`weights.group_size`). That the score is the magnitude of the
    loss's gradient itself is how its abstract reads; the loss is that of the next token. Gradients
    are taken before anything is scaled. The whole model's are in memory at once.
    """

    rounds: ClassVar[bool] = True
    method: Literal["gwq"] = "gwq"
    fraction: Number = Field(default=0.01, ge=0, le=1)  # of weights, rounded to a whole number
    samples: Positive = 1  # of the calibration; their gradients are added
    # Whose `fraction`: of each "layer" or of the whole "model". Not said; the first gives every
    # layer the same share of memory.
    scope: Literal["layer", "model"] = "layer"
    values: Literal["float16", "float32"] = "float16"


class Aweq(_Step):
    """s_j = sqrt(r_X,j / r_W,j): both ranges of a channel become equal (AWEQ, Li et al. 2023).

    The formula is not in what could be read of the paper. This is the one that follows from its
    aim, the largest sum over channels of the product of their precisions, each range over the
    largest; the weights are those of all layers that share the input. A dead channel, one with a
    range of 0 on either side, stays as it is. Groups are taken from the block's last to its first,
    so that a fold into the rows of an earlier layer is in its ranges. The paper goes on with
    `BiasCorrection`.
    """

    method: Literal["aweq"] = "aweq"
    # "minmax": max - min. "absmax": 2 max||, what a symmetric format has to cover. Not said: the
    # first, as in the equalization that the paper builds on.
    ranges: Literal["minmax", "absmax"] = "minmax"


class Atq(_Step):
    """Scales that bring activations into a normal range; GPTQ then takes in what weights pay (ATQ).

    The paper (Findings of EMNLP 2024) bounds ||W X - Q(W^) Q(X^)|| by ||(W^ - Q(W^)) X^||, which
    GPTQ on the scaled inputs lessens, plus ||Q(W^) (X^ - Q(X^))||; `bounds.error_bound` measures
    all three. Its transform is not in what could be read of it; both rules here are ours.
    """

    method: Literal["atq"] = "atq"
    # "quantile": s_j = max(1, max|X_j| / tau), tau the `quantile` of all channels' maxima: only
    # outlier channels shrink. "median": s_j = max|X_j| over the channels' median, which evens all.
    rule: Literal["quantile", "median"] = "quantile"
    quantile: Number = Field(default=0.99, ge=0, le=1)  # of rule "quantile"


class BiasCorrection(_Step):
    """b <- b - E_t[Q(W) Q(X) - W X], by output channel: AWEQ's second half.

    Layers in the order in which they run, X from what is rounded and corrected already, W as the
    steps before left it: scaled, and clipped if they clip. A layer without a bias gains one. The
    mean is over all tokens of the calibration.
    """

    corrects: ClassVar[bool] = True
    method: Literal["bias-correction"] = "bias-correction"


_Any = Rtn | SmoothQuant | Awq | Aqas | Gptq | Gwq | Daq | Aweq | Atq | BiasCorrection
_METHODS = tuple(step.model_fields["method"].default for step in get_args(_Any))
#: The class of a step is told by its `method`.
Step = Annotated[_Any, Field(discriminator="method")]


def first_complaint(error: ValidationError, within: str = "") -> str:
    """The first of pydantic's complaints in one line; places are those of ``within``.

    A key that is unknown comes before one that is missing: it is that one, misspelt.
    """
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    where = ".".join(map(str, (within, *first["loc"]) if within else first["loc"]))
    kind, what = first["type"], first["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"unknown key {where!r}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        came = first["ctx"].get("tag")
        what = f"method {came!r}" if came else "method is missing"
        what += f": wanted one of {', '.join(_METHODS)}"
    elif kind not in ("missing", "value_error"):
        what += f", not {first['input']!r}"
    return f"{where}: {what}" if where else what
