"""Self-checking testbench, in plain Verilog-2001, of a unit whose ports are valid/ready streams.

Sources offer beats and sinks take them in cycles that a shift register picks, the same ones in
every run. Whatever is in a sink is compared with the beat that is due, also while it waits.
"""

from collections.abc import Sequence
from dataclasses import replace

from macsmith.experiments.verify.agent import make_agent
from macsmith.experiments.verify.bench import RESET_CYCLES, Effort, Instance

__all__ = ["ENDING", "make_stream_testbench"]

#: Cycles after which a reset drops what is under way and all begins again: this many, then three
#: times as many, and so on.
RESTART, RESTARTS = 9, 4
QUIET = 400  # cycles without a beat anywhere, after which a unit is stuck
SPARE = 40  # cycles at the end in which nothing more may come
#: Of every testbench, after the message of a failure: its status, or that all is well.
ENDING = """\
      $finish_and_return(1);
    end
    $display("PASS: %0d results checked", checked);
    $finish;
  end
endmodule
"""
_EFFORT = Effort(random=200, exhaustive=64, sample=64, runs=2)


def make_stream_testbench(name: str, instance: Instance, vectors: str) -> tuple[str, str, int]:
    """(Verilog, vectors, beats compared); ``vectors`` is also the name of their file.

    The beats are those of the unit's bench, up to its first reset under way. They are begun several
    times, and dropped by a reset, before they are sent to the end.
    """
    agent = make_agent(replace(instance, effort=_EFFORT))
    queues: dict[str, list[int]] = {port: [] for port in (*agent.sources, *agent.sinks)}
    for run in agent.runs:
        if run.reset_after is not None:
            break
        for port, beats in {**run.sources, **run.sinks}.items():
            queues[port] += beats
    due = sum(len(queues[port]) for port in agent.sinks)
    if not due:
        raise AssertionError(f"{instance.module}: nothing to check")
    width = max(instance.widths[f"{port}__payload"] for port in queues)
    digits = -(-width // 4)
    text = "".join(f"{word:0{digits}x}\n" for queue in queues.values() for word in queue)
    return _verilog(name, instance, agent.sources, agent.sinks, queues, width, vectors), text, due


def _verilog(
    name: str,
    instance: Instance,
    sources: Sequence[str],
    sinks: Sequence[str],
    queues: dict[str, list[int]],
    width: int,
    vectors: str,
) -> str:
    names = [*sources, *sinks]
    first, base = {}, 0
    for port in names:
        first[port] = base
        base += len(queues[port])
    size = {port: instance.widths[f"{port}__payload"] for port in names}
    pins = [".clk(clk)", ".rst(rst)"]
    declared, checks, moves, offers = [], [], [], []
    for k, port in enumerate(names):
        parts = ("valid", "ready", "payload")
        pins += [f".{port}__{part}({port}_{part})" for part in parts]
        declared.append(f"  integer {port}_at;")
        last = first[port] + len(queues[port])
        word = f"words[{port}_at]"
        if port in sources:
            declared += [
                f"  reg {port}_valid;",
                f"  wire {port}_ready;",
                f"  wire [{size[port] - 1}:0] {port}_word = {word};",
                f"  wire [{size[port] - 1}:0] {port}_payload ="
                f" {port}_valid ? {port}_word : {{{size[port]}{{noise[{k}]}}}};",
            ]
            offers.append(
                f"      if ({port}_at < {last} && noise[{3 + k}] | noise[{8 + k}])"
                f" {port}_valid = 1;"
            )
            checks.append(f'      if (^{port}_ready === 1\'bx) fail("{port}.ready is undefined");')
            moves += [
                f"      if ({port}_valid && {port}_ready) begin",
                f"        {port}_at = {port}_at + 1; {port}_valid = 0; quiet = 0;",
                "      end",
            ]
            continue
        declared += [
            f"  wire {port}_valid;",
            f"  reg {port}_ready, {port}_waits;",
            f"  wire [{size[port] - 1}:0] {port}_payload;",
            f"  wire [{size[port] - 1}:0] {port}_word = {word};",
        ]
        offers.append(f"      {port}_ready = noise[{5 + k}] | noise[{11 + k}];")
        checks += [
            f'      if ({port}_valid === 1\'bx) fail("{port}.valid is undefined");',
            f'      if ({port}_waits && {port}_valid !== 1\'b1) fail("{port}.valid went away");',
            f"      if ({port}_valid === 1'b1 && {port}_at >= {last})"
            f' fail("{port} has a beat too many");',
            f"      else if ({port}_valid === 1'b1 && {port}_payload !== {port}_word)"
            f' fail("{port} has the wrong beat");',
        ]
        moves += [
            f"      {port}_waits = {port}_valid === 1'b1 && !{port}_ready;",
            f"      if ({port}_valid === 1'b1 && {port}_ready) begin",
            f"        {port}_at = {port}_at + 1; checked = checked + 1; quiet = 0;",
            "      end",
        ]
    start = [f"      {port}_at = {first[port]};" for port in names]
    start += [f"      {port}_valid = 0;" for port in sources]
    start += [f"      {port}_ready = 0; {port}_waits = 0;" for port in sinks]
    through = " && ".join(f"{port}_at >= {first[port] + len(queues[port])}" for port in names)
    due = sum(len(queues[port]) for port in sinks)
    lines = "\n".join
    return f"""\
// Self-checking testbench of {instance.module}: {due} beats out, all of {vectors}.
// iverilog -g2001 -o sim {name}.v {instance.module}.v && vvp -n sim
module {name};
  reg [{width - 1}:0] words [0:{base}];
  reg clk, rst;
  reg [15:0] noise;
  integer cycle, quiet, idle, checked, wrong, restarts, restart_at;
{lines(declared)}

  {instance.module} dut({", ".join(pins)});

  task restart;
    begin
{lines(start)}
      cycle = 0; quiet = 0; idle = 0; checked = 0;
    end
  endtask

  task fail(input [8*40-1:0] what);
    begin
      if (wrong == 0)
        $display("FAIL: cycle %0d, result %0d: %0s", cycle, checked, what);
      wrong = wrong + 1;
    end
  endtask

  initial begin
    $readmemh("{vectors}", words, 0, {base - 1});
    words[{base}] = 0;
    clk = 0;
    rst = 1;
    noise = 16'hace1;
    wrong = 0; restarts = 0; restart_at = {RESTART};
    restart;
    for (cycle = 0; cycle < {RESET_CYCLES}; cycle = cycle + 1) begin
      #5 clk = 1;
      #5 clk = 0;
    end
    rst = 0;
    cycle = 0;
    while (idle < {SPARE} && quiet < {QUIET} && wrong == 0) begin
      noise = {{noise[14:0], noise[15] ^ noise[13] ^ noise[12] ^ noise[10]}};
{lines(offers)}
      #5;
{lines(checks)}
      quiet = quiet + 1;
{lines(moves)}
      if ({through}) idle = idle + 1;
      clk = 1;
      #5 clk = 0;
      cycle = cycle + 1;
      if (restarts < {RESTARTS} && cycle == restart_at) begin
        rst = 1;
        #5 clk = 1;
        #5 clk = 0;
        rst = 0;
        restarts = restarts + 1;
        restart_at = 3 * restart_at;
        restart;
      end
    end
    if (wrong == 0 && restarts != {RESTARTS}) fail("too few beats to be reset under way");
    if (wrong == 0 && checked != {due}) fail("stuck, or a beat is missing");
    if (wrong != 0) begin
      $display("FAIL: %0d of {due} results were seen", checked);
{ENDING}"""
