"""Claims measured, reports written, and the command line."""

if __name__ != "macsmith.experiments":
    raise ImportError(f"this is macsmith.experiments, not {__name__}: run `make setup`")
