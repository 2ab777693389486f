"""Hardware: the units in Amaranth, and their area, delay and energy."""

if __name__ != "macsmith.hw":
    raise ImportError(f"this is macsmith.hw, not {__name__}: run `make setup`")
