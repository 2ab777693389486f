# amaranth: UnusedElaboratable=no
"""`hw.power`: energies by hand, to the last digit of the tables' interpolation."""

import json
from dataclasses import replace

import numpy as np
import pytest
from opensta import edge_energies_fj
from technology import TINY, library, netlist, tiny

from macsmith.hw.liberty import load
from macsmith.hw.mac import Mac
from macsmith.hw.multiplier import Multiplier
from macsmith.hw.power import energy, leakage
from macsmith.hw.power_entries import shares
from macsmith.hw.synth import assess, synthesize
from macsmith.hw.timing import Boundary
from macsmith.sim.spec import MacSpec

BOUNDARY = Boundary(input_slew_ps=20, clock_slew_ps=10, output_load_ff=6)
EDGES = np.array([1, 0, 1, 0, 1, 0])  # three edges each way, from the zero before the first cycle


def spent(tmp_path, inputs, outputs, *cells, **stimulus):
    found = assess(netlist(inputs, outputs, *cells), tiny(tmp_path), boundary=BOUNDARY)
    return energy(found, stimulus)


def test_one_nand_toggling(tmp_path):
    """2 V: 1/2 C V^2 is 2 fJ per fF. A has 2 fF, y 6 fF. Y's tables for A: rise 1.2, fall 0.8 fJ.
    A's own entry needs B low. Leakage: 2 nW in one state, 4 nW in three, over 1000 ps."""
    got = spent(tmp_path, "a", "y", "NAND2 A=a B=1 Y=y", a=EDGES)
    assert got.switching_pj == pytest.approx((2 * 2 + 2 * 6) / 1e3)
    assert got.internal_pj == pytest.approx((1.2 + 0.8) / 2 / 1e3)
    assert got.dynamic_pj == pytest.approx(got.internal_pj + got.switching_pj)
    assert got.leakage_nw == pytest.approx(3.5)
    assert got.leakage_pj == pytest.approx(3.5e-6)
    assert got.power_mw == pytest.approx(got.dynamic_pj + got.leakage_pj)  # one product per ns
    assert got.by_net["y"] == pytest.approx(2 * 6 / 1e3)
    assert got.by_cell == {"u0": pytest.approx(1.0 / 1e3)}
    assert (got.products, got.cycles, got.streams) == (6, 6, 1)
    assert got.toggles == 2
    assert got.clock_pj == 0


def test_power_is_the_units_whatever_a_product_is(tmp_path):
    """Two products a cycle have half the energy each, leakage too, and the unit has one power."""
    found = assess(netlist("a", "y", "NAND2 A=a B=1 Y=y"), tiny(tmp_path), boundary=BOUNDARY)
    one, two, idle = (energy(found, {"a": EDGES}, products=n) for n in (6, 12, 3))
    assert (one.per_cycle, two.per_cycle, idle.per_cycle) == (1, 2, 0.5)
    for other in (two, idle):
        assert other.power_mw == pytest.approx(one.power_mw)
        assert other.dynamic_pj * other.per_cycle == pytest.approx(one.dynamic_pj)
        assert other.leakage_pj * other.per_cycle == pytest.approx(one.leakage_pj)


@pytest.mark.parametrize("related", ["", 'related_pin : "A";'])
def test_an_output_s_own_entry_takes_its_load_and_the_input_s_slew(tmp_path, related):
    """y has 6 fF, half-way from 0.1 to 0.5 at a slew of 10 ps and from 0.3 to 0.7 at 30: 0.4 at the
    input's 20 ps, 0.8 fJ, rising; falling 0.3, 0.6 fJ."""
    path = tmp_path / "own.lib"
    old = 'internal_power () { related_pin : "A";\n        rise_power (energy)'
    assert TINY.count(old) == 1
    path.write_text(TINY.replace(old, f"internal_power () {{ {related} rise_power (energy)"))
    found = assess(netlist("a", "y", "INV A=a Y=y"), load([path]), boundary=BOUNDARY)
    got = energy(found, {"a": EDGES})
    assert got.internal_pj == pytest.approx((0.8 + 0.6) / 2 / 1e3)


def test_leakage_needs_no_voltage(tmp_path):
    path = tmp_path / "x.lib"
    path.write_text(TINY.replace("nom_voltage : 2.0;", ""))
    found = assess(netlist("a", "y", "NAND2 A=a B=1 Y=y"), load([path]), boundary=BOUNDARY)
    assert leakage(found) == pytest.approx((3.5, 3.5e-6))
    assert leakage(found, 0.5) == pytest.approx((3.5, 7e-6))
    with pytest.raises(ValueError, match=r"^hand: leakage needs a Liberty library, got none"):
        leakage(replace(found, netlist=None))


def test_an_input_that_moves_nothing(tmp_path):
    """With B low, A's own entry counts: at slew 20 half-way between 0.02 and 0.06 fJ rising, and
    0.04 fJ falling. The entry of the ground rail, 14 fJ, does not."""
    got = spent(tmp_path, "a", "y", "NAND2 A=a B=0 Y=y", a=EDGES)
    assert got.internal_pj == pytest.approx((0.04 + 0.04) / 2 / 1e3)
    assert got.by_net["y"] == 0


def test_inputs_that_move_together_share(tmp_path):
    """Tables of Y for A: 1.2 and 0.8 fJ, for B: 1.6 and 0.4 fJ, half of each. A's own entry (B low)
    holds before a rising edge or after a falling one, but not on both sides: Y moves instead."""
    got = spent(tmp_path, "a", "y", "NAND2 A=a B=a Y=y", a=EDGES)
    assert got.internal_pj == pytest.approx((1.4 + 0.6) / 2 / 1e3)


def test_one_flip_flop_with_only_the_clock_moving(tmp_path):
    """CK at slew 10: 0.2 fJ rising, 0.1 fJ falling, and 2 fF at 2 fJ/fF twice."""
    still = np.zeros(10, int)
    got = spent(tmp_path, "clk d", "q", "DFF CK=clk D=d QN=q", d=still)
    assert got.internal_pj == pytest.approx(0.3e-3)
    assert got.switching_pj == pytest.approx(8e-3)
    assert got.clock_pj == pytest.approx(8.3e-3)
    assert got.by_net["clk"] == pytest.approx(8e-3)


def test_a_flip_flop_that_toggles(tmp_path):
    """QN: rising 2, falling 4 fJ at any load; D has no entry; q drives 6 fF, d 2 fF."""
    d = np.array([1, 0] * 8)
    got = spent(tmp_path, "clk d", "q", "DFF CK=clk D=d QN=q", d=d)
    edges_q = 15 / 16  # what the last operand does shows in a later cycle
    assert got.by_net["q"] == pytest.approx(12e-3 * edges_q)
    assert got.by_net["d"] == pytest.approx(4e-3)
    # The state moves in every cycle but the first, where QN was 1 after reset and D is 1: 8 falls.
    assert got.internal_pj == pytest.approx((0.3 + (8 * 4 + 8 * 2) / 16) * 1e-3)


def test_chain_of_inverters(tmp_path):
    """u0, both slews 20, load 2 fF: rise 0.4, fall 0.6 fJ. u1, load 6 fF, rises on n's falling edge
    (slew 14.5: 0.6 + 0.225 x 0.4) and falls on its rising one (slew 20.5: 0.4 + 0.525 x 0.4)."""
    got = spent(tmp_path, "a", "y", "INV A=a Y=n", "INV A=n Y=y", a=EDGES)
    assert got.by_cell["u0"] == pytest.approx((0.4 + 0.6) / 2 / 1e3)
    assert got.by_cell["u1"] == pytest.approx((0.69 + 0.61) / 2 / 1e3)
    assert got.switching_pj == pytest.approx(2 * (2 + 2 + 6) / 1e3)


def test_asap7_flip_flop_with_only_the_clock_moving():
    """DFFHQNx1 at a clock slew of 40 ps, D low and QN high: 0.233628 fJ rising, 0.351373 falling;
    0.474 fF at 0.7 V twice."""
    lib = library("asap7")
    one = netlist("clk d", "q", "DFFHQNx1_ASAP7_75t_R CLK=clk D=d QN=q")
    found = assess(one, lib, boundary=Boundary(20, 40, 1))
    got = energy(found, {"d": np.zeros(8, int)})
    assert got.internal_pj == pytest.approx((0.233628 + 0.351373) / 1e3)
    assert got.clock_pj - got.internal_pj == pytest.approx((0.474467 + 0.474736) / 2 * 0.49 / 1e3)


def test_osu018_flip_flop_that_toggles():
    """DFFPOSX1 at points of its tables, pJ: CLK at 240 ps 0.006943 rising and 0.129769 falling, D
    at 180 ps 0.045977 and 0.087952, Q at 240 ps and 25 fF 0.061849 and 0.076343; 1.8 V."""
    one = netlist("clk d", "q", "DFFPOSX1 CLK=clk D=d Q=q")
    found = assess(one, library("osu018"), boundary=Boundary(180, 240, 25))
    got = energy(found, {"d": np.array([1, 0] * 8)})
    pins = 0.006943 + 0.129769 + (0.045977 + 0.087952) / 2
    assert got.internal_pj == pytest.approx(pins + (0.061849 + 0.076343) / 2)
    clk, d = 27.9235 + 27.4634, (8.82947 + 8.81001) / 2
    q = 25 * 15 / 16  # its last edge shows in a later cycle
    assert got.switching_pj == pytest.approx((clk + d + q) * 1.8**2 / 2 / 1e3)


def test_an_output_that_is_not_connected_moves_all_the_same():
    """Q_N of sky130's dfxbp. Its energy is negative there, as on most cells with two outputs: the
    library books a negative share on one of the two."""
    lib = library("sky130hd")
    cell = "sky130_fd_sc_hd__dfxbp_1"
    one = assess(netlist("clk d", "q", f"{cell} CLK=clk D=d Q=q"), lib)
    both = assess(netlist("clk d", "q n", f"{cell} CLK=clk D=d Q=q Q_N=n"), lib)
    d = {"d": np.array([0, 1] * 20)}
    assert 0 < energy(one, d).switching_pj < energy(both, d).switching_pj
    still = energy(one, {"d": d["d"] * 0})
    assert energy(one, d).internal_pj != still.internal_pj


@pytest.mark.parametrize("name", ["osu018", "sky130hd", "asap7"])
def test_energy_of_a_mac(name):
    lib = library(name)
    spec = MacSpec(weights="int4", activations="int8", acc_width=20, overflow="wrap")
    found = synthesize(Mac(spec), lib, clock_ps=8000)
    rng = np.random.default_rng(0)
    shape = 64, 100
    en, clear = np.ones(shape, bool), np.zeros(shape, bool)
    random = {
        "en": en,
        "clear": clear,
        "w": rng.integers(0, 16, shape),
        "a": rng.integers(0, 256, shape),
    }
    full = energy(found, random)
    assert full.products == 6400
    assert full.internal_pj > 0
    assert full.switching_pj > 0
    assert full.clock_pj < full.dynamic_pj / 2
    assert full.dynamic_pj == pytest.approx(sum(full.by_cell.values()) + sum(full.by_net.values()))
    assert energy(found, random) == full  # to the last bit
    quiet = energy(found, {**random, "w": random["w"] * 0})
    assert quiet.dynamic_pj < full.dynamic_pj / 2
    # Half of the cycles stalled, operands held: a product costs the clock once more.
    held = {key: np.repeat(value, 2, axis=1) for key, value in random.items()}
    held["en"] = np.tile([True, False], (64, 100))
    stalled = energy(found, held)
    assert stalled.products == 6400
    assert stalled.dynamic_pj > full.dynamic_pj
    data = json.loads(json.dumps(full.as_dict()))
    assert data["dynamic_pj"] == full.dynamic_pj
    assert "by_net" not in data
    with pytest.raises(ValueError, match=r"^mac: no product enters in 100 cycles"):
        energy(found, {**random, "en": ~en})
    # No edge of an output is lost or counted twice, where the library has energies for it.
    for instance, pins, events in zip(
        found.netlist.instances, full.activity.pins, full.activity.events, strict=True
    ):
        cell = lib.cell(instance.type)
        seen = np.flatnonzero(events)
        counting = shares(cell, pins, seen)
        for pin in cell.outputs:
            if not cell.ff and cell.pins[pin].power and pin in instance.pins:
                counted = sum(
                    (weights * events[seen]).sum()
                    for owner, *_, weights in counting
                    if owner == pin
                )
                # rise and fall tables: each edge is in one of them
                assert counted == pytest.approx(full.activity.toggles[instance.pins[pin]].sum())


@pytest.mark.parametrize("unit", [Multiplier, Mac])
@pytest.mark.parametrize("name", ["osu018", "asap7"])
def test_energy_is_opensta_s(name, unit, tmp_path):
    """Of the net that each cell drives, and inside each cell, flip-flops included.

    OpenSTA says what one edge costs, and the simulation how often each happened; what belongs to
    what is said again here. OpenSTA charges a net with the greater of the capacitances of a rising
    and a falling edge, where `hw.power` takes their mean. Energies of a cell may cancel, and
    OpenSTA prints three digits of each: hence the absolute term. The promise is 10 %.
    """
    lib = library(name)
    spec = MacSpec(weights="dint4", activations="int4", acc_width=20, overflow="wrap")
    found = synthesize(unit(spec), lib, clock_ps=50000)
    nets, entries = edge_energies_fj(found, tmp_path)
    rng = np.random.default_rng(0)
    shape = 64, 50
    codes = {port: rng.integers(0, 16, shape) for port in ("w", "a")}
    if unit is Mac:
        codes |= {"en": np.ones(shape, bool), "clear": rng.random(shape) < 1 / 16}
    got = energy(found, codes)
    seen = got.activity
    pairs = {"net": [], "cell": []}  # ours and OpenSTA's, fJ per product
    for index, instance in enumerate(found.netlist.instances):
        cell = lib.cell(instance.type)
        (net,) = (instance.pins[pin] for pin in cell.outputs)
        wire = nets[instance.name] * seen.toggles[net].sum()
        pairs["net"].append((got.by_net[found.netlist.net_names[net]], wire))
        own = {pin: entries[instance.name, pin] for pin in cell.pins}
        inside = _booked(cell, seen.pins[index], seen.events[index], own)
        pairs["cell"].append((got.by_cell[instance.name], inside))
    for kind, each, total in (("net", 0.05, 0.01), ("cell", 0.01, 0.005)):
        ours, referee = np.array(pairs[kind]).T
        ours *= 1e3 * got.products
        assert ours.sum() == pytest.approx(referee.sum(), rel=total)
        assert ours == pytest.approx(referee, rel=each, abs=2e-3 * referee.mean())


def _booked(cell, pins, events, entries) -> float:
    """Internal energy of all events, from that of an edge by each entry of each pin: what the
    conventions of `hw.power` say, event after event."""
    total = 0.0
    for code in np.flatnonzero(events):
        before, after = (_levels(cell, pins, code >> shift) for shift in (len(pins), 0))
        edge = {pin: ("fall", "rise")[after[pin]] for pin in after if before[pin] != after[pin]}
        moved = not edge.keys().isdisjoint(cell.outputs)
        for pin in edge.keys() & cell.pins.keys():
            spent, caused = 0.0, []
            for arc, entry in zip(cell.pins[pin].power, entries[pin], strict=True):
                held, holds = (
                    arc.when is None or arc.when.evaluate(state) for state in (before, after)
                )
                if arc.related in ("", pin):
                    spent += entry[edge[pin], edge[pin]] * (holds and (held or not moved))
                elif arc.related in edge:
                    caused.append((holds, held, entry[edge[pin], edge[arc.related]]))
            for when in (0, 1):  # those that hold after the event, else before it, else all
                if any(one[when] for one in caused):
                    caused = [one for one in caused if one[when]]
                    break
            spent += sum(fj for *_, fj in caused) / max(len(caused), 1)
            total += events[code] * spent
    return total


def _levels(cell, pins, code) -> dict[str, bool]:
    """What is on every pin of a cell in a state of `Activity.events`."""
    levels = {pin: bool(code >> place & 1) for place, pin in enumerate(reversed(pins))}
    if cell.ff:
        levels[cell.ff.inverse] = not levels[cell.ff.state]
    return levels | {pin: bool(cell.pins[pin].function.evaluate(levels)) for pin in cell.outputs}


def test_energy_needs_a_library():
    spec = MacSpec(weights="int2", activations="int2", acc_width=8, overflow="wrap")
    with pytest.raises(ValueError, match=r"^mac: energy needs a Liberty library, got none"):
        energy(synthesize(Mac(spec)), {})
