"""Waiting: values that come later, and a while that passes."""

from amaranth import Const, Module, Signal, Value

__all__ = ["busy_after", "delayed"]


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


def busy_after(m: Module, start: Value, cycles: int, name: str) -> Value:
    """High for so many cycles after the one with ``start``, which it may hold up."""
    if cycles == 0:
        return Const(0)
    count = Signal(range(cycles + 1), name=name)
    with m.If(start):
        m.d.sync += count.eq(1)
    with m.Elif(count == cycles):
        m.d.sync += count.eq(0)
    with m.Elif(count != 0):
        m.d.sync += count.eq(count + 1)
    return count != 0
