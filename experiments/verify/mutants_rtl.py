"""Mutants of RTL: faults in the circuit that the exported Verilog describes, scored in Icarus.

All mutants are simulated side by side in their units' benches, and beside them the units without a
fault, which must pass.
"""

import copy
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from macsmith.experiments.verify import runner
from macsmith.experiments.verify.mutants_subjects import Mutant, Subject, swapped
from macsmith.experiments.verify.mutants_verdict import Verdict, judge
from macsmith.experiments.verify.proof_problem import INNER
from macsmith.hw import yosys
from macsmith.hw.aig_yosys import Source, to_aigs
from macsmith.hw.export import to_verilog_many

__all__ = ["LEVEL", "make_mutants", "score"]

LEVEL = "RTL"
_PASSES = ("proc", "opt_clean")  # from exported Verilog to the circuit in which faults are made

_PARTNERS = (
    ("$add", "$sub"), ("$and", "$or"), ("$xor", "$xnor"), ("$eq", "$ne"), ("$lt", "$ge"),
    ("$le", "$gt"), ("$reduce_or", "$reduce_and"), ("$logic_and", "$logic_or"), ("$shl", "$shr"),
)  # fmt: skip
_OTHER = {one: other for pair in _PARTNERS for one, other in (pair, pair[::-1])}
_SYMMETRIC = (
    "$add", "$mul", "$and", "$or", "$xor", "$xnor", "$eq", "$ne", "$logic_and", "$logic_or",
)  # fmt: skip
_ARITHMETIC = ("$add", "$sub", "$mul", "$neg", "$lt", "$le", "$gt", "$ge")


def make_mutants(subjects: Sequence[Subject], count: int, seed: int) -> list[Mutant]:
    """``count`` different mutants, spread evenly, the swapped specials besides; the same for a
    seed."""
    rng = random.Random(seed)
    sources = to_verilog_many({f"s{k}": subject.make() for k, subject in enumerate(subjects)})
    passes, files = [], {}
    for name, text in sources.items():
        files[f"{name}.v"] = text
        passes += ["design -reset", f"read_verilog {name}.v", f"hierarchy -top {name}",
                   *_PASSES, f"write_json {name}.json"]  # fmt: skip
    texts = yosys.run(passes, files, [f"{name}.json" for name in sources])
    circuits = [json.loads(texts[f"{name}.json"]) for name in sources]
    drawn, seen, tries = [], set(), 0
    while len(drawn) < count and tries < 50 * count:
        k = tries % len(subjects)
        tries += 1
        document = copy.deepcopy(circuits[k])
        change = _change(document["modules"][f"s{k}"], rng)
        if change is not None and (k, *change) not in seen:
            seen.add((k, *change))
            drawn.append((k, *change, document))
    passes, files = [], {}
    for n, (k, *_, document) in enumerate(drawn):
        document["modules"] = {f"{LEVEL}_{n}": document["modules"][f"s{k}"]}
        files[f"{n}.json"] = json.dumps(document)
        passes += ["design -reset", f"read_json {n}.json", f"write_verilog -noattr {n}.v"]
    texts = yosys.run(passes, files, [f"{n}.v" for n in range(len(drawn))]) if drawn else {}
    mutants = [
        Mutant(f"{LEVEL}_{n}", subjects[k], LEVEL, operator, place, texts[f"{n}.v"])
        for n, (k, operator, place, _) in enumerate(drawn)
    ]
    changed = [(s, place, component) for s in subjects for place, component in swapped(s)]
    names = [f"{LEVEL}_{n}" for n in range(len(drawn), len(drawn) + len(changed))]
    verilog = to_verilog_many({n: c for n, (*_, c) in zip(names, changed, strict=True)})
    return mutants + [
        Mutant(name, subject, LEVEL, "swapped special", place, verilog[name])
        for name, (subject, place, _) in zip(names, changed, strict=True)
    ]


def score(mutants: Sequence[Mutant], limit_s: float) -> dict[str, Verdict]:
    """The verdict on each mutant, by name.

    AssertionError where a unit without a fault does not pass, or nothing of it was checked.
    """
    wholes = {f"whole_{k}": s for k, s in enumerate(dict.fromkeys(m.subject for m in mutants))}
    verilog = to_verilog_many({name: subject.make() for name, subject in wholes.items()})
    verilog |= {mutant.name: mutant.circuit for mutant in mutants}
    instances = [subject.instance(name) for name, subject in wholes.items()]
    described = {subject: one for one, subject in zip(instances, wholes.values(), strict=True)}
    instances += [replace(described[mutant.subject], module=mutant.name) for mutant in mutants]
    modules = runner.simulate("mutants", instances, verilog, "icarus").modules
    for name, subject in wholes.items():
        if modules[name].wrong or not modules[name].results:
            raise AssertionError(f"{subject.label}: the bench does not pass without a fault")
    killed = {mutant.name: Verdict("killed") for mutant in mutants if modules[mutant.name].wrong}
    left = [mutant for mutant in mutants if mutant.name not in killed]
    return killed | {mutant.name: _prove(mutant, limit_s) for mutant in left}


def _prove(mutant: Mutant, limit_s: float) -> Verdict:
    read = ("read_verilog {name}", f"hierarchy -check -top {mutant.name}")
    component = mutant.subject.make()
    designs = {
        "plain": mutant.subject.plain(),
        "whole": Source(to_verilog_many({mutant.name: component})[mutant.name], read),
        "faulty": Source(mutant.circuit, read),
    }
    try:
        graphs = to_aigs(designs, {"plain": INNER["sums"]})
    except ValueError as error:
        return Verdict("survived", str(error))
    return judge(mutant, graphs["whole"], graphs["faulty"], graphs["plain"], component, limit_s)


def _change(module: dict, rng: random.Random) -> tuple[str, str] | None:
    """Make one fault in a module of Yosys's JSON: (operator, place); None if none fits here."""
    by_operator: dict[str, list[tuple[str, str, Callable]]] = {}
    for name, cell in module["cells"].items():
        for operator, place, apply in _changes(cell):
            by_operator.setdefault(operator, []).append((name, place, apply))
    if not by_operator:
        return None
    operator = rng.choice(sorted(by_operator))
    name, place, apply = rng.choice(by_operator[operator])
    apply(module, rng)
    return operator, f"{name.replace('$', '')} {place}"


def _changes(cell: dict) -> Iterator[tuple[str, str, Callable]]:
    """Every fault that can be made at a cell: (operator, place, what makes it)."""
    kind, pins = cell["type"], cell["connections"]
    if kind in _OTHER:
        yield "operator", f"{kind} as {_OTHER[kind]}", lambda *_: cell.update(type=_OTHER[kind])
    if kind in _ARITHMETIC and _sign_matters(cell):
        yield "sign", kind, lambda *_: _flip_signs(cell)
    for pin in ("A", "B"):
        if (word := _zero_extended(pins.get(pin, []))) is not None:
            yield (
                "sign", f"{kind} {pin} extended by 0",
                lambda *_, p=pin, w=word: pins.update({p: w}),
            )  # fmt: skip
    if "FF" in kind.upper():
        for bit in range(len(pins["Q"])):
            yield "register", f"bit {bit} holds", lambda *_, b=bit: _put(pins, "D", b, pins["Q"][b])
    if (edge := cell["parameters"].get("CLK_POLARITY")) is not None:
        other = edge[:-1] + "10"[int(edge[-1])]
        yield "clock edge", kind, lambda *_: cell["parameters"].update(CLK_POLARITY=other)
    inputs = [pin for pin, way in cell["port_directions"].items() if way == "input"]
    for pin in inputs:
        for bit, net in enumerate(pins[pin]):
            if pin in ("C", "CLK"):
                continue
            where = f"{kind} {pin}[{bit}]"
            if isinstance(net, str):
                if net in "01":
                    flipped = "10"[int(net)]
                    yield "constant", where, lambda *_, p=pin, b=bit, v=flipped: _put(pins, p, b, v)
                continue
            for value in "01":
                yield (
                    f"stuck at {value}", where,
                    lambda *_, p=pin, b=bit, v=value: _put(pins, p, b, v),
                )  # fmt: skip
            yield "inverted", where, lambda m, _, p=pin, b=bit: _invert(m, pins, p, b)
    exchangeable = {"A", "B"} <= set(inputs) and kind not in _SYMMETRIC
    if exchangeable and len(pins["A"]) == len(pins["B"]) and pins["A"] != pins["B"]:
        yield "exchanged", f"{kind} A and B", lambda *_: pins.update(A=pins["B"], B=pins["A"])


def _put(pins: dict, pin: str, bit: int, value: int | str) -> None:
    pins[pin] = [*pins[pin][:bit], value, *pins[pin][bit + 1 :]]


def _zero_extended(bits: list) -> list | None:
    """The bits with 0 in place of a repeated top bit; None if it is not repeated."""
    low = list(bits)
    while len(low) > 1 and low[-1] == low[-2]:
        low.pop()
    if len(low) == len(bits) or isinstance(low[-1], str):
        return None
    return [*low, *"0" * (len(bits) - len(low))]


def _sign_matters(cell: dict) -> bool:
    """Whether an operand is extended to the result's width, or compared."""
    width = len(cell["connections"]["Y"])
    return width == 1 or any(len(cell["connections"].get(p, ())) < width for p in "AB")


def _flip_signs(cell: dict) -> None:
    for name in ("A_SIGNED", "B_SIGNED"):
        if name in cell["parameters"]:
            value = cell["parameters"][name]
            cell["parameters"][name] = value[:-1] + "10"[int(value[-1])]


def _invert(module: dict, pins: dict, pin: str, bit: int) -> None:
    used = [b for c in module["cells"].values() for bits in c["connections"].values() for b in bits]
    fresh = 1 + max(b for b in used if isinstance(b, int))
    module["cells"]["inverter"] = {
        "hide_name": 0,
        "type": "$_NOT_",
        "parameters": {},
        "attributes": {},
        "port_directions": {"A": "input", "Y": "output"},
        "connections": {"A": [pins[pin][bit]], "Y": [fresh]},
    }
    _put(pins, pin, bit, fresh)
