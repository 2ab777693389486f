"""`macsmith explore`: what formats and microarchitectures cost, point by point, side by side."""

__all__: list[str] = []
