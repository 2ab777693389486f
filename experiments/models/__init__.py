"""The two small language models that the project carries, their text and their training."""

if __name__ != "macsmith.experiments.models":
    raise ImportError(f"this is macsmith.experiments.models, not {__name__}: run `make setup`")

from pathlib import Path

from macsmith.sim.names import suggestion

__all__ = ["MODELS", "locate"]

MODELS = ("opt-mini", "llama-mini")


def locate(name: str) -> str:
    """The folder of an embedded model, by its name; any other folder or `owner/name` as it is.

    ValueError naming the nearest embedded model, or both, if it can be none of these.
    """
    if name in MODELS:
        return str(Path(__file__).parent / name)
    if "/" in name or "\\" in name or Path(name).exists():
        return name
    raise ValueError(
        f"unknown model {name!r}; {suggestion(name, MODELS)} (or give a folder or a Hugging Face "
        "id, owner/name)"
    )
