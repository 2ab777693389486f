"""Formats as tables: for the terminal, for JSON and for the report."""

from rich.table import Table

from macsmith.sim.formats import Format

__all__ = ["catalogue", "format_row", "levels", "value_text", "values_text"]


def format_row(fmt: Format) -> dict:
    """Everything of a format, ready for JSON; values at z = 0."""
    return {
        "name": fmt.name,
        "width": fmt.width,
        "frac_bits": fmt.frac_bits,
        "levels": list(fmt.levels),
        "values": [fmt.value(code) for code in range(2**fmt.width)],
        "level_width": fmt.level_width,
        "level_range": list(fmt.level_range),
        "zero_pointed": fmt.zero_pointed,
        "affine_codes": sorted(fmt.affine),
        "symmetric_value": None if fmt.zero_pointed else fmt.symmetric_level / 2**fmt.frac_bits,
        "source": fmt.source,
    }


def value_text(value: float) -> str:
    return f"{value:.7g}"


def values_text(fmt: Format) -> str:
    """The values by code at z = 0, or the two ends of a long table."""
    values = [fmt.value(code) for code in range(2**fmt.width)]
    if fmt.width > 4:
        return f"{value_text(min(values))} ... {value_text(max(values))}"
    return " ".join(map(value_text, values))


def catalogue(formats: list[Format]) -> Table:
    """One line per format."""
    table = Table("format", "bits", "frac bits", "level bits", "values", "source")
    for fmt in formats:
        values = sorted({fmt.value(code) for code in range(2**fmt.width)})
        many = len(values) > 8
        shown = [*values[:3], None, *values[-3:]] if many else values
        text = " ".join("..." if v is None else value_text(v) for v in shown)
        if fmt.zero_pointed:
            text = f"q - z: {text}"
        table.add_row(
            fmt.name, str(fmt.width), str(fmt.frac_bits), str(fmt.level_width), text, fmt.source
        )
    return table


def levels(fmt: Format) -> Table:
    """One line per code: bits, level, value; with a zero point, which codes move."""
    title = f"{fmt.name}: {fmt.width} bits, value = level / {2**fmt.frac_bits}"
    columns = ["code", "bits", "level", "value"]
    if fmt.zero_pointed:
        title += ", at z = 0"
        columns.append("with a zero point")
    table = Table(*columns, title=title, caption=fmt.source or None)
    for code, level in enumerate(fmt.levels):
        row = [str(code), f"0b{code:0{fmt.width}b}", str(level), value_text(fmt.value(code))]
        if fmt.zero_pointed:
            row.append(f"level - {2**fmt.frac_bits} z" if code in fmt.affine else "the same")
        table.add_row(*row)
    return table
