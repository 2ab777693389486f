"""Registers in a row."""

from amaranth import Module, Signal, Value

__all__ = ["delayed"]


def delayed(m: Module, value: Value, cycles: int, name: str, *, reset_less: bool = True) -> Value:
    """``value`` so many rising edges later, by registers in ``m``; itself for none.

    The registers are called ``name``, with the number of edges. They hold data: only where
    ``reset_less`` is false does ``rst`` set them to 0.
    """
    value = Value.cast(value)
    for k in range(cycles):
        register = Signal(value.shape(), name=f"{name}_{k + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
