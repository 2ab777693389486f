"""The two small language models that the project carries, their text and their training."""

if __name__ != "macsmith.experiments.models":
    raise ImportError(f"this is macsmith.experiments.models, not {__name__}: run `make setup`")

import difflib
from pathlib import Path

__all__ = ["MODELS", "locate"]

MODELS = ("opt-mini", "llama-mini")


def locate(name: str) -> str:
    """The folder of an embedded model, by its name; any other folder or `owner/name` as it is.

    ValueError naming the nearest embedded model if it can be none of these.
    """
    if name in MODELS:
        return str(Path(__file__).parent / name)
    if "/" in name or "\\" in name or Path(name).exists():
        return name
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.0)[0]
    raise ValueError(
        f"unknown model {name!r}; the nearest is {near!r} (or give a folder or a Hugging Face id, "
        "owner/name)"
    )
