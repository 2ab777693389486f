"""cocotb benches, their runner, and the Verilog they drive."""

if __name__ != "macsmith.experiments.verify":
    raise ImportError(f"this is macsmith.experiments.verify, not {__name__}: run `make setup`")
