"""What enters a unit in one cycle, and the registers that hold it back."""

from dataclasses import dataclass, fields, replace

from amaranth import Module, Signal, Value

__all__ = ["Operands"]


@dataclass(frozen=True)
class Operands:
    """What enters in one cycle, at the ports or behind registers.

    ``en`` and ``clear`` are the strobes; ``w``, ``a`` and ``z`` the codes (``z`` None without zero
    point), or instead of them ``rows``: numbers that add up to what enters the sum.
    """

    en: Value
    clear: Value
    w: Value | None = None
    a: Value | None = None
    z: Value | None = None
    rows: tuple[Value, ...] = ()

    @classmethod
    def of(cls, unit) -> "Operands":
        """Those at the ports of a unit."""
        z = Value.cast(unit.z) if hasattr(unit, "z") else None
        return cls(unit.en, unit.clear, Value.cast(unit.w), Value.cast(unit.a), z)

    def registered(self, m: Module, stage: str) -> "Operands":
        """The same one cycle later. Only ``en`` has a reset: without it nothing else counts."""

        def register(value: Value, name: str, reset_less: bool = True) -> Signal:
            reg = Signal(value.shape(), name=f"{name}_{stage}", reset_less=reset_less)
            m.d.sync += reg.eq(value)
            return reg

        late = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                late[field.name] = tuple(register(row, f"row_{k}") for k, row in enumerate(value))
            elif value is not None:
                late[field.name] = register(Value.cast(value), field.name, field.name != "en")
        return replace(self, **late)
