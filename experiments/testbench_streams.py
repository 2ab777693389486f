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

from macsmith.experiments.verify.agent import make_agent
from macsmith.experiments.verify.bench import FULL, RESET_CYCLES, Instance
from macsmith.experiments.verify.handshake import PATIENCE, PAUSE, SPARE, Ready, Run
from macsmith.experiments.verify.reach import unreached
from macsmith.experiments.verify.rhythm import moments_at_full_speed

__all__ = ["ending", "heading", "make_stream_testbench"]


def heading(instance: Instance, what: str, files: Sequence[str]) -> str:
    """The first lines of every testbench: ``what`` it has, and how ``files`` are simulated."""
    far = unreached(instance)
    more = f"// What it does not show: {far} of the largest size.\n" if far else ""
    command = f"iverilog -g2001 -o sim {' '.join(map(shlex.quote, files))} && vvp -n sim"
    return f"// Self-checking testbench of {instance.module}: {what}.\n{more}// {command}\n"


def ending(instance: Instance) -> str:
    """Of every testbench, after the message of a failure: its status, or that all is well."""
    far = unreached(instance)
    more = f"; {far.partition(',')[0]}" if far else ""
    return f"""\
      $finish_and_return(1);
    end
    $display("PASS: %0d results checked{more}", checked);
    $finish;
  end
endmodule
"""


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
    width = max(instance.widths[f"{port}__payload"] for port in queues)
    digits = -(-width // 4)
    text = "".join(f"{word:0{digits}x}\n" for queue in queues.values() for word in queue)
    ports = agent.sources, agent.sinks
    verilog = _verilog(name, instance, *ports, agent.ready, queues, parts, due, vectors, files)
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


def _verilog(
    name: str,
    instance: Instance,
    sources: Sequence[str],
    sinks: Sequence[str],
    ready: Ready,
    queues: dict[str, list[int]],
    parts: Sequence[_Part],
    due: int,
    vectors: str,
    files: Sequence[str],
) -> str:
    names = [*sources, *sinks]
    width = max(instance.widths[f"{port}__payload"] for port in names)
    first, base = {}, 0
    for port in names:
        first[port] = base
        base += len(queues[port])
    size = {port: instance.widths[f"{port}__payload"] for port in names}
    pins = [".clk(clk)", ".rst(rst)"]
    declared, checks, samples, moves, offers = [], [], [], [], []
    for k, port in enumerate(names):
        members = ("valid", "ready", "payload")
        pins += [f".{port}__{member}({port}_{member})" for member in members]
        declared.append(f"  integer {port}_at, {port}_end;")
        word = f"words[{port}_at]"
        if port in sources:
            declared += [
                f"  reg {port}_valid, {port}_moved;",
                f"  wire {port}_ready;",
                f"  wire [{size[port] - 1}:0] {port}_word = {word};",
                f"  wire [{size[port] - 1}:0] {port}_payload ="
                f" {port}_valid ? {port}_word : {{{size[port]}{{noise[{k}]}}}};",
            ]
            offers.append(
                f"      if ({port}_at < {port}_end && (fast | noise[{3 + k}] | noise[{8 + k}]))"
                f" {port}_valid = 1;"
            )
            low, high = map(int, ready[port])
            checks += [
                f'      if (^{port}_ready === 1\'bx) fail("{port}.ready is undefined");',
                f"      if (fresh && {port}_ready !== ({port}_payload[0] ? 1'b{high} : 1'b{low}))"
                f' fail("{port}.ready after a reset");',
            ]
            samples.append(f"      {port}_moved = {port}_valid && {port}_ready;")
            moves += [
                f"        if ({port}_moved) begin",
                f"          {port}_at = {port}_at + 1; {port}_valid = 0; quiet = 0; fresh = 0;",
                "          moments = moments + cycle;",
                "        end",
            ]
            continue
        declared += [
            f"  wire {port}_valid;",
            f"  reg {port}_ready, {port}_waits, {port}_moved;",
            f"  integer {port}_waited, {port}_patient;",
            f"  wire [{size[port] - 1}:0] {port}_payload;",
            f"  wire [{size[port] - 1}:0] {port}_word = {word};",
        ]
        offers.append(
            f"      {port}_ready = (fast | noise[{5 + k}] | noise[{11 + k}])"
            f" && {port}_waited >= {port}_patient && !(held && cycle + 3 >= reset_after);"
        )
        checks += [
            f'      if ({port}_valid === 1\'bx) fail("{port}.valid is undefined");',
            f"      if (fresh && {port}_valid === 1'b1)"
            f' fail("{port} has a beat before one entered");',
            f'      if ({port}_waits && {port}_valid !== 1\'b1) fail("{port}.valid went away");',
            f"      if ({port}_valid === 1'b1 && {port}_at >= {port}_end)"
            f' fail("{port} has a beat too many");',
            f"      else if ({port}_valid === 1'b1 && {port}_payload !== {port}_word)"
            f' fail("{port} has the wrong beat");',
        ]
        samples += [
            f"      {port}_waits = {port}_valid === 1'b1 && !{port}_ready;",
            f"      {port}_moved = {port}_valid === 1'b1 && {port}_ready;",
        ]
        moves += [
            f"        {port}_waited = {port}_waits ? {port}_waited + 1 : 0;",
            f"        if ({port}_moved) begin",
            f"          {port}_at = {port}_at + 1; checked = checked + 1; quiet = 0;",
            "          moments = moments + cycle;",
            f"          {port}_patient = {port}_patient > 0;",  # later beats: a cycle
            "        end",
        ]
    start = [f"    {port}_at = {first[port]};" for port in names]
    start += [f"    {port}_end = {first[port]};" for port in names]
    begin = [f"      {port}_at = {port}_end;" for port in names]
    begin += [f"      {port}_valid = 0;" for port in sources]
    begin += [f"      {port}_ready = 0; {port}_waits = 0; {port}_waited = 0;" for port in sinks]
    undefined = [f"    {port}_valid = 1'bx;" for port in sources]
    undefined += [f"    {port}_ready = 1'bx;" for port in sinks]
    through = " && ".join(f"{port}_at >= {port}_end" for port in names)
    cases = []
    for k, part in enumerate(parts):
        ends = " ".join(f"{port}_end = {first[port] + part.ends[port]};" for port in names)
        waits = " ".join(f"{port}_patient = {part.patient.get(port, 0)};" for port in sinks)
        cases.append(
            f"        {k}: begin fast = {int(part.fast)}; held = {int(part.held)};"
            f" reset_after = {part.reset_after}; promised = {part.moments}; {waits} {ends} end"
        )
    lines = "\n".join
    return f"""\
{heading(instance, f"{due} beats out, of {vectors}", files)}\
module {name};
  reg [{width - 1}:0] words [0:{base}];
  reg clk, rst, fast, held, fresh;  // fresh: nothing has entered since a reset
  reg [15:0] noise;
  reg [31:0] moments, promised;  // sums of the cycles in which a part's beats move
  integer part, cycle, reset_after, quiet, idle, checked, before, wrong;
{lines(declared)}

  {instance.module} dut({", ".join(pins)});

  // The next part: beats up to the ends, until a reset or until all of it is through.
  task next_part;
    begin
      part = part + 1;
{lines(begin)}
      cycle = 0; moments = 0; quiet = 0; idle = 0; before = checked;
      case (part)
{lines(cases)}
        default: ;
      endcase
    end
  endtask

  task fail(input [8*40-1:0] what);
    begin
      if (wrong == 0)
        $display("FAIL: cycle %0d of part %0d, result %0d: %0s", cycle, part, checked, what);
      wrong = wrong + 1;
    end
  endtask

  initial begin
    $readmemh("{vectors}", words, 0, {base - 1});
    words[{base}] = 0;
    clk = 0;
    rst = 1;
    noise = 16'hace1;
    wrong = 0; checked = 0; part = -1;
{lines(start)}
{lines(undefined)}
    for (cycle = 0; cycle < {RESET_CYCLES}; cycle = cycle + 1) begin
      #5 clk = 1;
      #5 clk = 0;
    end
    rst = 0;
    fresh = 1;
    next_part;
    while (part < {len(parts)} && quiet < {PATIENCE} && wrong == 0) begin
      noise = {{noise[14:0], noise[15] ^ noise[13] ^ noise[12] ^ noise[10]}};
      rst = reset_after != 0 && cycle == reset_after;
{lines(offers)}
      #5;
{lines(checks)}
      quiet = quiet + 1;
{lines(samples)}
      clk = 1;
      #1;  // what was offered stays until after the edge
      cycle = cycle + 1;
      if (rst) begin
        rst = 0;
        fresh = 1;
        checked = before;
        next_part;
      end else begin
{lines(moves)}
        if ({through}) begin
          if (idle == 0 && promised != 0 && moments != promised)
            fail("a beat too early or late");
          idle = idle + 1;
        end
        if (reset_after == 0 && idle == (part == {len(parts) - 1} ? {SPARE} : {PAUSE}))
          next_part;
      end
      #4 clk = 0;
    end
    if (wrong == 0 && checked != {due}) fail("stuck, or a beat is missing");
    if (wrong != 0) begin
      $display("FAIL: %0d of {due} results were seen", checked);
{ending(instance)}"""
