"""Self-checking testbench, in plain Verilog-2001, of a unit whose ports are valid/ready streams.

The beats are those of the unit's bench, in parts: a part ends with a reset that drops what is under
way, or when all of it is through. Of some parts a beat is offered and taken in every cycle, of the
others in cycles that a shift register picks, the same ones in every run; some sinks take a beat
only after it has waited, the first one of a part for long, and some resets find every sink held up.
Whatever is in a sink is compared with the beat that is due, also while it waits. After a reset,
until a beat enters, each source must be ready for just what it should, and nothing may come out. A
part at full speed moves each beat in just the cycle that latency and throughput promise: what is
compared is the sum of all these cycles.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from macsmith.experiments.verify.agent import make_agent
from macsmith.experiments.verify.bench import FULL, RESET_CYCLES, Instance
from macsmith.experiments.verify.handshake import PATIENCE, PAUSE, SPARE, Run
from macsmith.experiments.verify.reach import unreached
from macsmith.experiments.verify.rhythm import moments_at_full_speed

__all__ = ["make_stream_testbench", "render"]


def render(template: str, instance: Instance, files: Sequence[str], **values: Any) -> str:
    """A testbench of ``instance``, which says how ``files`` are simulated."""
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return env.get_template(template).render(
        values,
        module=instance.module,
        command=f"iverilog -g2001 -o sim {' '.join(map(shlex.quote, files))} && vvp -n sim",
        far=unreached(instance),
        reset_cycles=RESET_CYCLES,
    )


@dataclass(frozen=True)
class _Part:
    """``ends`` are the beats up to its end, by port; ``reset_after`` is 0 where it goes on until
    all is through; ``fast`` is a beat in every cycle; ``patient`` are the cycles, by sink, that the
    first beat waits before it is taken; ``held`` is whether sinks are before the reset; ``moments``
    is the sum of the cycles in which beats move, and 0 where they depend on the pace."""

    ends: Mapping[str, int]
    reset_after: int
    fast: bool
    patient: Mapping[str, int]
    held: bool
    moments: int = 0


@dataclass(frozen=True)
class _Port:
    """A stream: bits of its payload, where its beats begin among the words of all, and, of a
    source, what it is ready for after a reset."""

    name: str
    width: int
    first: int
    ready: tuple[bool, bool] | None


def make_stream_testbench(
    name: str, instance: Instance, vectors: str, files: Sequence[str]
) -> tuple[str, str, int]:
    """(Verilog, vectors, beats that must come out); ``vectors`` is also the name of their file, and
    ``files`` are those to simulate."""
    instance = replace(instance, effort=replace(FULL, whole_layer=False))
    agent = make_agent(instance)
    queues: dict[str, list[int]] = {port: [] for port in (*agent.sources, *agent.sinks)}
    due, start, parts = 0, dict.fromkeys(queues, 0), []
    for part in _parts(agent.runs, queues):
        here = {port: queue[start[port] : part.ends[port]] for port, queue in queues.items()}
        sinks = {port: len(here.pop(port)) for port in agent.sinks}
        if not part.reset_after:
            due += sum(sinks.values())
            if part.fast:
                moments = moments_at_full_speed(agent.new_rhythm(), here, sinks)
                part = replace(part, moments=moments % 2**32)
        parts.append(part)
        start = part.ends
    if not due:
        raise AssertionError(f"{instance.module}: nothing to check")
    width, first, ports = 0, 0, []
    for port, queue in queues.items():
        size = instance.widths[f"{port}__payload"]
        ports.append(_Port(port, size, first, agent.ready.get(port)))
        width, first = max(width, size), first + len(queue)
    digits = -(-width // 4)
    text = "".join(f"{word:0{digits}x}\n" for queue in queues.values() for word in queue)
    verilog = render(
        "testbench_streams.v.j2",
        instance,
        files,
        name=name,
        what=f"{due} beats out, of {vectors}",
        ports=ports,
        sources=[port for port in ports if port.ready],
        sinks=[port for port in ports if not port.ready],
        parts=parts,
        vectors=vectors,
        count=first,
        width=width,
        due=due,
        patience=PATIENCE,
        spare=SPARE,
        pause=PAUSE,
    )
    return verilog, text, due


def _parts(runs: Iterable[Run], queues: dict[str, list[int]]) -> list[_Part]:
    """The runs, whose beats are added to the queues; of one pace they are joined, up to a reset."""
    parts: list[_Part] = []
    for run in runs:
        for port, beats in {**run.sources, **run.sinks}.items():
            queues[port] += beats
        ends = {port: len(queue) for port, queue in queues.items()}
        pace, after = run.pace, run.reset_after or 0
        held = bool(after and any(after - 1 in pace.holds.get(port, ()) for port in run.sinks))
        fast = held or not (pace.speed or pace.holds or pace.patient)
        part = _Part(ends, after, fast, pace.patient, held)
        if parts and not part.reset_after and replace(parts[-1], ends=ends) == part:
            parts.pop()
        parts.append(part)
    return parts
