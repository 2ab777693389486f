"""Post-training quantization of torch models."""

if __name__ != "macsmith.quant":
    raise ImportError(f"this is macsmith.quant, not {__name__}: run `make setup`")
