"""`macsmith reproduce table3 ..`: the papers' tables of quantized models, on small ones."""

__all__: list[str] = []
