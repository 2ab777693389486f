"""The steps of a recipe: one class for each method, with its source and its choices.

A field says whose choice its default is: the paper's, its released code's, or ours where both are
silent. Scales and clips prepare a block's weights; the last step of a recipe rounds them.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt

__all__ = ["Aqas", "Awq", "Gptq", "Part", "Rtn", "SmoothQuant", "Step"]

Positive = Annotated[StrictInt, Field(ge=1)]


class Part(BaseModel):
    """A part of a recipe: a misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Step(Part):
    """Whether a step rounds, which the last one does, and whether it needs calibration."""

    rounds: ClassVar[bool] = False
    calibrated: ClassVar[bool] = True


class Rtn(_Step):
    """Round each weight to the nearest level. Needs no calibration."""

    rounds: ClassVar[bool] = True
    calibrated: ClassVar[bool] = False
    method: Literal["rtn"] = "rtn"


class SmoothQuant(_Step):
    """s_j = max|X_j|^alpha / max|W_j|^(1 - alpha), folded into the norm before (Xiao et al. 2023).

    Only inputs that come from a norm are scaled, as in its released code.
    """

    method: Literal["smoothquant"] = "smoothquant"
    alpha: float = Field(default=0.5, ge=0, le=1)  # the paper's for OPT


class _Search(_Step):
    """What searches for scales and clips have in common."""

    samples: Positive = 8  # of the calibration, for the search; ours: it is most of the time
    clip: StrictBool = True
    # Not clipped: what enters a softmax, as in AWQ's released code.
    clip_skip: tuple[str, ...] = ("q_proj", "k_proj")


class Awq(_Search):
    """argmin_s ||Q(W s)(X / s) - W X||, then a clip of each row (Lin et al. 2023).

    `grid` "1d" is the released code's: s = mean|X|^a, a in {0 .. 19}/20. "2d" is the paper's first
    version: s = mean|X|^a mean|W|^-b.
    """

    method: Literal["awq"] = "awq"
    grid: Literal["1d", "2d"] = "1d"


class Aqas(_Search):
    """Eq. 1 of Lee et al. 2023: as AWQ, with activations quantized too; then a clip.

    The paper chose abs-max representatives (its Table 8 has both) and the output of attention as
    the objective for what enters attention. Its grid is not written down: "2d" is s = X^a W^-b, a
    and b in {0 .. 19}/20, AWQ's of that time; "1d", the default because it takes a twentieth of the
    time, ties b = 1 - a. Whether its clips see quantized activations is not said; here they do.
    No scale at all and SmoothQuant's are candidates besides.
    """

    method: Literal["aqas"] = "aqas"
    representative: Literal["max", "mean"] = "max"
    grid: Literal["1d", "2d"] = "1d"
    objective: Literal["attention", "layers"] = "attention"


class Gptq(_Step):
    """Columns one by one, each error spread over those that follow (Frantar et al. 2023: OPTQ).

    `order` "activation" takes the columns with the largest inputs first (act-order); groups' scales
    are then fixed before, since a group's columns no longer follow each other.
    """

    rounds: ClassVar[bool] = True
    method: Literal["gptq"] = "gptq"
    damping: float = Field(default=0.01, gt=0)  # of the Hessian's mean diagonal
    order: Literal["index", "activation"] = "index"
    group_scales: Literal["updated", "fixed"] = "updated"  # from weights as they are by then


#: The class of a step is told by its `method`.
Step = Annotated[Rtn | SmoothQuant | Awq | Aqas | Gptq, Field(discriminator="method")]
