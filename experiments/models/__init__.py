"""The two small language models that the project carries, their text and their training."""

if __name__ != "macsmith.experiments.models":
    raise ImportError(f"this is macsmith.experiments.models, not {__name__}: run `make setup`")

from pathlib import Path

__all__ = ["MODELS", "locate"]

MODELS = ("opt-mini", "llama-mini")


def locate(name: str) -> str:
    """The folder of an embedded model, by its name; any other name or path as it is."""
    return str(Path(__file__).parent / name) if name in MODELS else name
