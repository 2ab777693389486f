"""Streams of a component in Amaranth's simulator, driven and watched from one loop."""

import random

from amaranth.sim import Simulator


def play(dut, beats, results, *, stall=0.3, seed=0, top=None, patience=100):
    """Send ``beats`` (by input stream) and take ``results`` beats from ``dut.o``.

    Each side stalls in a share ``stall`` of the cycles. Returns (payloads of ``o``, cycles in which
    each input beat was taken by stream, cycles in which each result was). Fails if a beat at ``o``
    changes or goes before it is taken, if more comes than asked for, or if nothing moves for
    ``patience`` cycles.
    """
    rng = random.Random(seed)
    taken, left = [], []
    entered = {name: [] for name in beats}

    async def testbench(ctx):
        offered = dict.fromkeys(beats, False)
        held, cycle, quiet = None, 0, 0
        spare = patience  # cycles to see that nothing more comes
        while spare:
            for name, queue in beats.items():
                port, done = getattr(dut, name), len(entered[name])
                if not offered[name] and done < len(queue) and rng.random() >= stall:
                    offered[name] = True
                    ctx.set(port.payload, queue[done])
                ctx.set(port.valid, offered[name])
            ready = rng.random() >= stall
            ctx.set(dut.o.ready, ready)

            moved = False
            for name in beats:
                if offered[name] and ctx.get(getattr(dut, name).ready):
                    entered[name].append(cycle)
                    offered[name], moved = False, True
            valid = ctx.get(dut.o.valid)
            payload = ctx.get(dut.o.payload.as_value()) if valid else None
            if held is not None:
                assert payload == held, f"cycle {cycle}: o changed before it was taken"
            held = payload if valid and not ready else None
            if valid and ready:
                taken.append(ctx.get(dut.o.payload))
                left.append(cycle)
                moved = True
            quiet = 0 if moved else quiet + 1
            complete = len(taken) == results and all(
                len(entered[name]) == len(queue) for name, queue in beats.items()
            )
            assert complete or quiet < patience, (
                f"stuck in cycle {cycle}: {len(taken)} of {results} results, "
                f"{ {name: len(done) for name, done in entered.items()} } beats in"
            )
            spare -= complete
            await ctx.tick()
            cycle += 1

    sim = Simulator(top or dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert len(taken) == results
    return taken, entered, left
