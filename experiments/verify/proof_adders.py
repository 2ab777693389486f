"""Sums proven by algebra: adders of an and-inverter graph are found and taken apart.

A full adder's outputs are ``a + b + c = sum + 2 * carry``, so a word at the end of any network of
adders, whatever its order, is a linear form of the bits that enter the network. `rewrite` finds
it by replacing, from the outputs backwards, sum and carry by the operands wherever their weights
are in that ratio. Each adder is recognised by the truth tables of its two outputs, and so nothing
is taken on trust.
"""

from collections import defaultdict
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import product
from typing import Protocol

from macsmith.experiments.verify.proof_tables import essential, expand, majority, parity
from macsmith.hw.aig import Graph

__all__ = ["Adders", "Form", "Knowledge", "rewrite"]

MOST_CUTS = 40  # per gate: enough for every adder that was met


@dataclass
class Form:
    """``constant + sum(weight * variable)``, weights by variable of a graph."""

    constant: int
    weights: dict[int, int]

    @classmethod
    def of_word(cls, lits: list[int]) -> "Form":
        """The unsigned number whose bits are the literals, lowest first."""
        form = cls(0, {})
        for k, lit in enumerate(lits):
            form.add_literal(lit, 1 << k)
        return form

    def add_literal(self, lit: int, weight: int) -> None:
        """Add ``weight * literal``."""
        if lit & 1:
            self.constant += weight
            weight = -weight
        if lit >> 1:
            self.weights[lit >> 1] = self.weights.get(lit >> 1, 0) + weight

    def plus(self, other: "Form", times: int) -> "Form":
        """This and ``times`` another one."""
        weights = dict(self.weights)
        for var, weight in other.weights.items():
            weights[var] = weights.get(var, 0) + times * weight
        return Form(self.constant + times * other.constant, weights)

    def centred(self, modulus: int) -> "Form":
        """The same modulo ``modulus``, with the numbers nearest to 0."""
        return Form(
            _nearest(self.constant, modulus),
            {
                var: w
                for var, w in ((v, _nearest(w, modulus)) for v, w in self.weights.items())
                if w
            },
        )

    def reduced(self, modulus: int) -> "Form":
        """Modulo ``modulus``, terms of weight 0 left out."""
        weights = {var: w % modulus for var, w in self.weights.items() if w % modulus}
        return Form(self.constant % modulus, weights)


class Knowledge(Protocol):
    """What is known about bits beyond the adders; `proof_ranges` proves it."""

    def exclusive(self, carries: list[int], weight: int, form: Form, modulus: int) -> bool:
        """Whether at most one of the literals, operands of an OR of that weight in the form, can be
        1, so that the OR is their sum."""

    def top(self, var: int, form: Form, modulus: int) -> Form | None:
        """What a parity of the form is, as an integer; None if that is not known."""


@dataclass(frozen=True)
class _Adder:
    """``sum(operands) = sum + 2 * carry`` of literals; a half adder has two operands."""

    operands: tuple[int, ...]
    sum: int
    carry: int


class Adders:
    """The full and half adders in the logic of some literals of a graph."""

    def __init__(self, graph: Graph, lits: list[int]):
        self.graph = graph
        # Of each variable that is the lower one of its adder's outputs, the adders.
        self.at: dict[int, list[_Adder]] = defaultdict(list)
        # Of each parity, its operands as literals: s = a ^ b ^ ..
        self.parities: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        self.carries: set[int] = set()
        # Of each gate that is only another way to write a literal, the literal.
        self.same: dict[int, int] = {}
        # Such gates that are sums of adders as well, which come first: at the last of these.
        self.waiting: dict[int, list[int]] = defaultdict(list)
        self._find(lits)

    def _find(self, lits: list[int]) -> None:
        graph = self.graph
        cuts: dict[int, list[tuple[tuple[int, ...], int]]] = {}
        sums: dict[tuple[int, ...], list[tuple[int, int]]] = defaultdict(list)
        seen: dict[tuple[tuple[int, ...], int], int] = {}
        majorities: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = defaultdict(list)
        for var in graph.cone(lits):
            own = ((var,), 0b10)
            pair = graph.operands(var)
            if pair is None:
                cuts[var] = [own]
                continue
            found = set()  # leaves that exclude each other may have several tables
            for leaves_x, table_x in cuts[pair[0] >> 1]:
                for leaves_y, table_y in cuts[pair[1] >> 1]:
                    leaves = tuple(sorted({*leaves_x, *leaves_y}))
                    if len(leaves) > 3:
                        continue
                    x = expand(table_x, leaves_x, leaves) ^ (-(pair[0] & 1))
                    y = expand(table_y, leaves_y, leaves) ^ (-(pair[1] & 1))
                    table = x & y & (1 << (1 << len(leaves))) - 1
                    places, table = essential(table, len(leaves))
                    found.add((tuple(leaves[k] for k in places), table))
            kept = sorted(found, key=_first)[:MOST_CUTS]
            rep, flip = var, 0
            if (same := _known(kept, seen, var)) is not None:
                self.same[var] = same
                if same < 2:
                    cuts[var] = [((), same)]
                    continue
                # an adder may have the gate's own operands: (x ^ n) + n + c has x ^ c for its sum
                rep, flip = same >> 1, same & 1
                own = (rep,), 0b01 if flip else 0b10
            cuts[var] = [own, *kept]
            for leaves, table in kept:
                if len(leaves) < 2 or leaves[-1] >= var:
                    continue
                odd = parity(table, len(leaves))
                if leaves[-1] >= rep:
                    if odd is not None:
                        sums[leaves].append((var, odd))
                elif odd is not None:
                    sums[leaves].append((rep, odd ^ flip))
                    self.parities[rep].append((
                        2 * leaves[0] + (odd ^ flip),
                        *(2 * v for v in leaves[1:]),
                    ))
                elif (flips := majority(table, len(leaves))) is not None:
                    *operands, inverted = flips
                    majorities[leaves].append((rep, (*operands, inverted ^ flip)))
        for leaves, carriers in majorities.items():
            for (s, odd), (c, (*flips, inverted)) in product(sums.get(leaves, ()), carriers):
                operands = tuple(2 * v + f for v, f in zip(leaves, flips, strict=True))
                # the parity of the operands with their inversions
                total = 2 * s + (odd ^ (sum(flips) & 1))
                self.at[min(s, c)].append(_Adder(operands, total, 2 * c + inverted))
                if len(leaves) == 3:
                    self.carries.add(c)
        self._find_waiting()

    def _find_waiting(self) -> None:
        last: dict[int, int] = {}
        for var, adders in self.at.items():
            adders.sort(key=lambda adder: -len(adder.operands))
            for adder in adders:
                if (s := adder.sum >> 1) in self.same:
                    last[s] = min(var, last.get(s, var))
        for s, var in last.items():
            self.waiting[var].append(s)
        self.waits = frozenset(last)


def rewrite(
    form: Form,
    adders: Adders,
    modulus: int,
    knowledge: Knowledge | None = None,
    *,
    partly: bool = False,
) -> Form:
    """The form with every adder taken apart, modulo ``modulus``.

    With ``partly`` a sum also gives up a part of its weight, where two adders share it.
    """
    form = form.reduced(modulus)
    weights = form.weights
    pending = [-var for var in weights]
    heapify(pending)
    last = 0

    def add(lit: int, weight: int) -> None:
        form.add_literal(lit, weight)
        heappush(pending, -(lit >> 1))

    while pending:
        var = -heappop(pending)
        if var == last:
            continue
        last = var
        if var in adders.same and var not in adders.waits:
            add(adders.same[var], weights.pop(var, 0))
            continue
        for adder in adders.at.get(var, ()):
            s, c = adder.sum >> 1, adder.carry >> 1
            k = weights.get(s, 0) * (-1 if adder.sum & 1 else 1)
            m = weights.get(c, 0) * (-1 if adder.carry & 1 else 1)
            if k % modulus and (m - 2 * k) % modulus == 0:
                for lit in (adder.sum, adder.carry):
                    old = weights.pop(lit >> 1, 0)
                    form.constant += old if lit & 1 else 0
                for lit in adder.operands:
                    add(lit, k)
                break
            if partly and k % modulus and m % modulus and m % 2 == 0:
                old = weights.pop(c)
                form.constant += old if adder.carry & 1 else 0
                add(adder.sum, -m // 2)
                for lit in adder.operands:
                    add(lit, m // 2)
                break
        for other in adders.waiting.get(var, ()):
            add(adders.same[other], weights.pop(other, 0))
        weight = weights.get(var, 0)
        if weight % modulus == 0 or var in adders.waits:
            continue
        if 2 * weight % modulus == 0 and var in adders.parities:  # the sum's top bit: no carry
            del weights[var]
            for lit in adders.parities[var][0]:
                add(lit, weight)
            continue
        if knowledge is None:
            continue
        if var in adders.parities and (top := knowledge.top(var, form, modulus)):
            del weights[var]
            form.constant += weight * top.constant
            for other, times in top.weights.items():
                add(2 * other, weight * times)
            continue
        lits = _operands_of_or(adders, var)
        carried = any(lit >> 1 in adders.carries for lit in lits)
        if not carried or len(lits) < 2:
            continue
        if knowledge.exclusive(lits, -weight % modulus, form, modulus):
            del weights[var]
            form.constant += weight  # the variable is the NOR
            for lit in lits:
                add(lit, -weight)
    return form.reduced(modulus)


def _operands_of_or(adders: Adders, var: int) -> list[int]:
    """Literals of whose NOR the variable is, down to carries of full adders."""
    found, stack = [], [2 * var]
    while stack:
        lit = stack.pop()
        pair = None if lit & 1 else adders.graph.operands(lit >> 1)
        if pair is None or (lit >> 1 != var and lit >> 1 in adders.carries):
            found.append(lit ^ 1)
        else:
            stack += pair
    return found


def _known(kept, seen: dict[tuple[tuple[int, ...], int], int], var: int) -> int | None:
    """The literal that a gate with these cuts is as well; None, and it is seen from now on."""
    for leaves, table in kept:
        if len(leaves) < 2:  # a constant, or a gate before it
            return 2 * leaves[0] + (table & 1) if leaves else table & 1
        flip = table & 1
        table ^= -flip & (1 << (1 << len(leaves))) - 1
        if (leaves, table) in seen:
            return seen[leaves, table] ^ flip
    for leaves, table in kept:
        flip = table & 1
        seen[leaves, table ^ (-flip & (1 << (1 << len(leaves))) - 1)] = 2 * var + flip
    return None


def _first(cut: tuple[tuple[int, ...], int]) -> tuple[int, tuple[int, ...], int]:
    """Small cuts before large ones."""
    return len(cut[0]), *cut


def _nearest(number: int, modulus: int) -> int:
    number %= modulus
    return number if number < modulus // 2 else number - modulus
