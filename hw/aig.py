"""And-inverter graphs: the logic of a unit as ANDs and inverters, for proofs.

A literal is ``2 * variable + complement``, as in the AIGER format; variable 0 is the constant 0, so
that the literals 0 and 1 are the constants. `Aig` is what Yosys made of a unit: inputs, registers,
outputs, next states. `Graph` is a space in which several of them are put together, with equal gates
merged and constants folded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

__all__ = ["FALSE", "TRUE", "Aig", "Bit", "Graph"]

FALSE, TRUE = 0, 1

#: Name of a word, and a bit's number in it.
Bit = tuple[str, int]


@dataclass(frozen=True)
class Aig:
    """A circuit; each word's bits in order of their number.

    Attributes
    ----------
    inputs, registers, outputs : tuple of (name, bit)
        In order of the literals that belong to them.
    input_vars, register_vars : tuple of int
        Variables.
    output_lits, next_lits : tuple of int
        Literals.
    gates : tuple of (variable, literal, literal)
        ANDs, each after its operands.
    clock_lits : tuple of int
        A register takes its next state when its literal of these rises.
    """

    inputs: tuple[Bit, ...]
    registers: tuple[Bit, ...]
    outputs: tuple[Bit, ...]
    input_vars: tuple[int, ...] = field(repr=False)
    register_vars: tuple[int, ...] = field(repr=False)
    output_lits: tuple[int, ...] = field(repr=False)
    next_lits: tuple[int, ...] = field(repr=False)
    gates: tuple[tuple[int, int, int], ...] = field(repr=False)
    clock_lits: tuple[int, ...] = field(repr=False)

    @cached_property
    def input_widths(self) -> dict[str, int]:
        """Bits of each input word, in order of name; the clock is none."""
        return {name: n for name, n in _widths(self.inputs).items() if name != "clk"}

    @cached_property
    def register_widths(self) -> dict[str, int]:
        """Bits of each register."""
        return _widths(self.registers)

    @cached_property
    def output_widths(self) -> dict[str, int]:
        """Bits of each output word."""
        return _widths(self.outputs)

    def inverted(self, output: int) -> "Aig":
        """The same with one output bit inverted."""
        lits = list(self.output_lits)
        lits[output] ^= 1
        return replace(self, output_lits=tuple(lits))


class Graph:
    """Shared logic over ``inputs`` free variables, numbered from 1.

    A gate that exists already is not made twice, and one with a constant operand not at all.
    """

    def __init__(self, inputs: int):
        self.inputs = inputs
        self.gates: list[tuple[int, int]] = []
        self._known: dict[tuple[int, int], int] = {}

    def input(self, k: int) -> int:
        """Literal of free variable ``k``, counted from 0."""
        return 2 * (k + 1)

    def and_(self, x: int, y: int) -> int:
        """Literal of ``x & y``."""
        if x < y:
            x, y = y, x
        if y == FALSE or x == y ^ 1:
            return FALSE
        if y == TRUE or x == y:
            return x
        lit = self._known.get((x, y))
        if lit is None:
            self.gates.append((x, y))
            lit = self._known[x, y] = 2 * (self.inputs + len(self.gates))
        return lit

    def xor(self, x: int, y: int) -> int:
        """Literal of ``x ^ y``."""
        return self.and_(self.and_(x, y) ^ 1, self.and_(x ^ 1, y ^ 1) ^ 1)

    def any(self, lits: Iterable[int]) -> int:
        """Literal of the OR of all."""
        none = TRUE
        for lit in lits:
            none = self.and_(none, lit ^ 1)
        return none ^ 1

    def copy(
        self,
        aig: Aig,
        inputs: Mapping[str, Sequence[int]],
        state: Mapping[str, Sequence[int]],
        instead: Mapping[int, int] | None = None,
    ) -> tuple[dict[str, list[int]], dict[str, list[int]], dict[int, int]]:
        """Put ``aig`` in, on literals for its inputs and registers: (outputs, next state, gates).

        ``instead`` gives literals to use in place of gates of the graph that are equal to them. The
        third result is the literal of each of the circuit's variables.
        """
        lits = {0: FALSE}
        for var, (name, bit) in zip(aig.input_vars, aig.inputs, strict=True):
            lits[var] = inputs[name][bit] if name in inputs else FALSE
        for var, (name, bit) in zip(aig.register_vars, aig.registers, strict=True):
            lits[var] = state[name][bit]
        self._copy_gates(aig, lits)
        if instead:  # known by what they are without any replaced
            originals = dict(lits)
            for var, _, _ in aig.gates:
                lit = originals[var]
                if lit >> 1 in instead:
                    lits[var] = instead[lit >> 1] ^ (lit & 1)
                else:
                    del lits[var]
            self._copy_gates(aig, lits)

        def words(bits: Sequence[Bit], chosen: Sequence[int]) -> dict[str, list[int]]:
            found = {name: [FALSE] * n for name, n in _widths(bits).items()}
            for (name, bit), lit in zip(bits, chosen, strict=True):
                found[name][bit] = lits[lit >> 1] ^ (lit & 1)
            return found

        return words(aig.outputs, aig.output_lits), words(aig.registers, aig.next_lits), lits

    def _copy_gates(self, aig: Aig, lits: dict[int, int]) -> None:
        """Gates of ``aig`` that have no literal yet."""
        and_ = self.and_
        for var, x, y in aig.gates:
            if var not in lits:
                lits[var] = and_(lits[x >> 1] ^ (x & 1), lits[y >> 1] ^ (y & 1))

    def operands(self, var: int) -> tuple[int, int] | None:
        """The two literals of a gate; None for a free variable or the constant."""
        return self.gates[var - self.inputs - 1] if var > self.inputs else None

    def cone(self, lits: Iterable[int]) -> list[int]:
        """Every variable on which the literals depend, in order, themselves included."""
        seen, stack = set(), [lit >> 1 for lit in lits]
        while stack:
            var = stack.pop()
            if var in seen or var == 0:
                continue
            seen.add(var)
            if var > self.inputs:
                x, y = self.gates[var - self.inputs - 1]
                stack += (x >> 1, y >> 1)
        return sorted(seen)

    def simulate(
        self,
        lits: Sequence[int],
        values: Mapping[int, np.ndarray],
        words: int,
        order: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """uint64 [words] for each literal, a pattern per bit, from ``values`` of the variables.

        Variables without a value are 0, and one with a value is not computed. ``order`` is the
        literals' cone, for callers that ask for the same literals again and again.
        """
        zero = np.zeros(words, np.uint64)
        known: dict[int, np.ndarray] = {0: zero, **values}
        first = self.inputs + 1
        for var in self.cone(lits) if order is None else order:
            if var in known:
                continue
            if var < first:
                known[var] = zero
                continue
            x, y = self.gates[var - first]
            left, right = known[x >> 1], known[y >> 1]
            known[var] = (~left if x & 1 else left) & (~right if y & 1 else right)
        return [~known[lit >> 1] if lit & 1 else known[lit >> 1] for lit in lits]

    def binary(self, outputs: Sequence[int], next_lits: Sequence[int] = ()) -> bytes:
        """Binary AIGER of the graph with these outputs.

        The last free variables, as many as ``next_lits``, are registers that begin with 0 and take
        these literals.
        """
        n, latches = len(self.gates), len(next_lits)
        head = f"{self.inputs + n} {self.inputs - latches} {latches} {len(outputs)} {n}"
        data = bytearray(f"aig {head}\n".encode())
        for lit in (*next_lits, *outputs):
            data += f"{lit}\n".encode()
        for k, (x, y) in enumerate(self.gates, self.inputs + 1):
            for delta in (2 * k - x, x - y):
                while delta >= 0x80:
                    data.append(delta & 0x7F | 0x80)
                    delta >>= 7
                data.append(delta)
        return bytes(data)


def _widths(bits: Iterable[Bit]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for name, bit in bits:
        widths[name] = max(widths.get(name, 0), bit + 1)
    return widths
