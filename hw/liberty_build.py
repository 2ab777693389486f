"""From the groups of a Liberty file to `hw.cell`, every unit converted on the way."""

import re
from dataclasses import dataclass

from macsmith.hw.boolean import Expr, parse
from macsmith.hw.cell import Cell, FlipFlop, Pin, PowerArc, TimingArc
from macsmith.hw.liberty_power import Rails, leakage
from macsmith.hw.liberty_text import Group, number
from macsmith.hw.nldm import Table

__all__ = ["Units", "build_cell", "nominal_voltage", "units"]

_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18}
_SEQUENTIAL = ("ff", "latch", "ff_bank", "latch_bank", "statetable")
_LOAD_AXES = ("total_output_net_capacitance", "equal_or_opposite_output_net_capacitance")
_CLOCK_AXES = ("related_pin_transition",)


@dataclass(frozen=True, slots=True)
class Units:
    """One library unit of each kind, in ps, fF, fJ and nW.

    Liberty has no unit for internal energy: it is the capacitance unit times the voltage unit
    squared (fF V2 = fJ for ASAP7, pF V2 = pJ for sky130hd and OSU018).
    """

    time: float
    cap: float
    energy: float
    power: float


def units(header: Group) -> Units:
    """Units of a library group; Liberty's defaults (1 ns, 1 pF, 1 V, 1 nW) where it is silent."""
    volt = _quantity(header.simple.get("voltage_unit", "1V"), "V")
    cap = 1e-12
    if given := header.complex.get("capacitive_load_unit"):
        if len(given[-1]) != 2:
            raise ValueError(f"capacitive_load_unit: wanted a number and a unit, got {given[-1]}")
        cap = number(given[-1][0], "capacitive_load_unit") * _quantity("1" + given[-1][1], "F")
    return Units(
        time=_round(_quantity(header.simple.get("time_unit", "1ns"), "s") * 1e12),
        cap=_round(cap * 1e15),
        energy=_round(cap * volt**2 * 1e15),
        power=_round(_quantity(header.simple.get("leakage_power_unit", "1nW"), "W") * 1e9),
    )


def nominal_voltage(header: Group) -> float | None:
    """Supply in volts: of the default operating conditions, else `nom_voltage`, else of the only
    operating conditions or of the only supply in `voltage_map` that is not 0; None where none of
    these says it."""
    default = header.simple.get("default_operating_conditions")
    conditions = [g for g in header.all("operating_conditions") if g.number("voltage")]
    rails = {number(v[-1], "voltage_map") for v in header.complex.get("voltage_map", ()) if v}
    choices = (
        [group.number("voltage") for group in conditions if default in group.args][:1],
        [header.number("nom_voltage")],
        [group.number("voltage") for group in conditions],
        [volts for volts in rails if volts],
    )
    volts = next((found[0] for found in choices if len(found) == 1 and found[0]), None)
    if volts is None:
        return None
    return volts * _quantity(header.simple.get("voltage_unit", "1V"), "V")


def build_cell(group: Group, header: Group, unit: Units) -> Cell:
    """The cell of `group`; ValueError names the cell where its text makes no sense."""
    name = group.args[0] if group.args else "without a name"
    try:
        cell = _Builder(group, header, unit).cell()
    except ValueError as error:
        raise ValueError(f"cell {name}: {error}") from None
    except (IndexError, KeyError) as error:
        raise ValueError(f"cell {name}: a group without its arguments ({error})") from None
    if cell.area < 0:
        raise ValueError(f"cell {name}: wanted an area of at least 0, got {cell.area}")
    return cell


class _Builder:
    def __init__(self, group: Group, header: Group, unit: Units) -> None:
        self.group, self.header, self.unit = group, header, unit
        self.templates = {
            t.args[0]: t for t in header.all("lu_table_template", "power_lut_template") if t.args
        }
        self.rails = Rails.of(group, header)

    def cell(self) -> Cell:
        group = self.group
        pins = {pin.name: pin for g in group.all("pin") for pin in self.named(g)}
        area = group.number("area", 0.0)
        # A pin inside a bus has no scalar name of its own: such a cell cannot be in a netlist here.
        ffs = group.all("ff")
        return Cell(
            name=group.args[0],
            area=area,
            leakage=leakage(group, self.header, self.rails, pins, area) * self.unit.power,
            dont_use=group.simple.get("dont_use", "").lower() == "true",
            sequential=bool(group.all(*_SEQUENTIAL)),
            ff=self.flip_flop(ffs[0]) if len(ffs) == 1 and not group.all("bus", "bundle") else None,
            pins=pins,
        )

    def flip_flop(self, group: Group) -> FlipFlop:
        for wanted in ("clocked_on", "next_state"):
            if wanted not in group.simple:
                raise ValueError(f"its ff group lacks {wanted}")
        state, inverse = (*group.args, "", "")[:2]
        expr = {key: parse(text) for key, text in group.simple.items() if key in _FF_EXPRESSIONS}
        return FlipFlop(
            state,
            inverse,
            expr["clocked_on"],
            expr["next_state"],
            expr.get("clear"),
            expr.get("preset"),
        )

    def named(self, group: Group) -> list[Pin]:
        """The pins of a group; ValueError names them."""
        try:
            return self.pins(group)
        except ValueError as error:
            raise ValueError(f"pin {' '.join(group.args)}: {error}") from None

    def pins(self, group: Group) -> list[Pin]:
        direction = group.simple.get("direction", "input")
        default = self.header.number(f"default_{direction}_pin_cap", 0.0)
        given = [group.number(f"{edge}_capacitance") for edge in ("rise", "fall")]
        cap = group.number("capacitance", max((c for c in given if c is not None), default=default))
        rise, fall = ((cap if c is None else c) * self.unit.cap for c in given)
        text = group.simple.get("function", "")
        function = parse(text) if text else None
        return [
            Pin(
                name=name,
                direction=direction,
                rise_cap=rise,
                fall_cap=fall,
                is_clock=group.simple.get("clock", "").lower() == "true",
                function=function,
                timing=tuple(arc for g in group.all("timing") for arc in self.arcs(g, function)),
                power=tuple(self.power(group)),
            )
            for name in group.args
        ]

    def arcs(self, group: Group, function: Expr | None) -> list[TimingArc]:
        kind = group.simple.get("timing_type", "combinational")
        if kind.startswith(("setup", "hold", "recovery", "removal")):
            names = ("rise_constraint", "fall_constraint", "", "")
        else:
            names = ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
        tables = [self.table(group, name, self.unit.time) for name in names]
        if not any(tables):
            return []
        return [
            TimingArc(
                related,
                kind,
                group.simple.get("timing_sense") or unateness(function, related),
                group.simple.get("when", ""),
                *tables,
            )
            for related in group.simple.get("related_pin", "").split()
        ]

    def power(self, pin: Group) -> list[PowerArc]:
        """Entries of the supply rails. Some libraries list each entry once per rail, ground
        included."""
        arcs = []
        for group in pin.all("internal_power"):
            if (rail := self.rails.rail(group)) is None:
                continue
            both = self.table(group, "power", self.unit.energy)
            rise = self.table(group, "rise_power", self.unit.energy) or both
            fall = self.table(group, "fall_power", self.unit.energy) or both
            text = group.simple.get("when", "")
            when = parse(text) if text else None
            related = group.simple.get("related_pin", "").split() or [""]
            arcs += [PowerArc(name, when, rise, fall, rail) for name in related]
        return arcs

    def table(self, parent: Group, kind: str, scale: float) -> Table | None:
        groups = parent.all(kind) if kind else []
        if not groups or "values" not in groups[0].complex:
            return None
        group = groups[0]
        values = [v * scale for v in _numbers(kind, group.complex["values"][-1])]
        template = self.templates.get(group.args[0] if group.args else "", _NO_TEMPLATE)
        axes = []  # (kind of axis, points), in the library's order
        for n in (1, 2, 3):
            points = group.complex.get(f"index_{n}") or template.complex.get(f"index_{n}")
            if not points or len(values) == 1:
                break
            variable = template.simple.get(f"variable_{n}", ("", "x", "y", "z")[n])
            axes.append(self.axis(variable, kind, _numbers(f"{kind} index_{n}", points[-1])))
        return _arrange(axes, values)

    def axis(self, variable: str, kind: str, points: list[float]) -> tuple[str, list[float]]:
        if variable in _LOAD_AXES or variable == "y":
            return "y", [p * self.unit.cap for p in points]
        if variable in _CLOCK_AXES and kind.endswith("constraint"):
            return "y", [p * self.unit.time for p in points]
        return "x", [p * self.unit.time for p in points]


_NO_TEMPLATE = Group("lu_table_template")
_FF_EXPRESSIONS = ("clocked_on", "next_state", "clear", "preset")


def unateness(function: Expr | None, pin: str) -> str:
    """How `function` follows `pin`: Liberty leaves timing_sense out where this says it."""
    if function is None or pin not in function.variables():
        return "non_unate"
    others = [name for name in function.variables() if name != pin]
    senses = set()
    for state in range(2 ** len(others)):
        env = {name: bool(state >> i & 1) for i, name in enumerate(others)}
        low, high = (bool(function.evaluate({**env, pin: level})) for level in (False, True))
        senses |= {"positive_unate"} if high > low else {"negative_unate"} if low > high else set()
    return senses.pop() if len(senses) == 1 else "non_unate"


def _arrange(axes: list[tuple[str, list[float]]], values: list[float]) -> Table:
    """A `Table` from values listed with the last axis fastest.

    Points may fall along an axis; they are put in order, the values with them. An axis whose kind
    occurred before (the second load of a three-dimensional energy table) is held at its first
    point.
    """
    count = 1
    for _, points in axes:
        count *= len(points)
    if count != len(values):
        shape = " x ".join(str(len(points)) for _, points in axes) or "scalar"
        raise ValueError(f"a {shape} table has {len(values)} values")
    stride, strides = count, {}
    for axis, points in axes:
        stride //= len(points)
        strides.setdefault(axis, (points, stride))
    xs, x_stride = strides.get("x", ([0.0], 0))
    ys, y_stride = strides.get("y", ([0.0], 0))
    in_x, in_y = (sorted(range(len(axis)), key=axis.__getitem__) for axis in (xs, ys))
    rows = tuple(tuple(values[i * x_stride + j * y_stride] for j in in_y) for i in in_x)
    return Table(tuple(xs[i] for i in in_x), tuple(ys[j] for j in in_y), rows)


def _numbers(what: str, texts: tuple[str, ...]) -> list[float]:
    return [number(word, what) for text in texts for word in re.split(r"[\s,\\]+", text) if word]


def _round(value: float) -> float:
    """`value` without the dust of decimal prefixes: 1000, not 1000.0000000000001."""
    return float(f"{value:.12g}")


def _quantity(text: str, unit: str) -> float:
    """`text`, such as "10ps", in SI units."""
    match = re.fullmatch(rf"\s*([\d.eE+-]+)\s*([munpfa]?){unit}\s*", text, re.IGNORECASE)
    if not match:
        raise ValueError(f"wanted a quantity in {unit}, such as '1n{unit}', got {text!r}")
    return number(match.group(1), unit) * _PREFIX[match.group(2).lower()]
