"""The two small language models that the project carries, their text and their training."""

if __name__ != "macsmith.experiments.models":
    raise ImportError(f"this is macsmith.experiments.models, not {__name__}: run `make setup`")
