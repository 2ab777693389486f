"""The agent of units with streams, on toy units in Python: right ones pass, wrong ones fail."""

import random

import pytest

from macsmith.experiments.verify.bench import Instance, Port
from macsmith.experiments.verify.coverage import Cover
from macsmith.experiments.verify.handshake import Run, StreamAgent
from macsmith.experiments.verify.paces import LONG, Pace, before_reset, long_holds, paces, places
from macsmith.sim.spec import MacSpec

PORTS = ("i", "o")
READY = {"i": (True, True)}
INSTANCE = Instance(
    "toy",
    "array",
    MacSpec("int4", "int4"),
    1,
    (Port("rst", 1), Port("i__payload", 8), Port("i__valid", 1), Port("o__ready", 1)),
    (Port("i__ready", 1), Port("o__payload", 8), Port("o__valid", 1)),
)


#: Cycles after a reset in which a unit that should be ready is not.
AFTER_RESET = {"late after a reset": range(1, 3), "never again": range(1, 10_000)}


class Queue:
    """A queue of two beats, each increased by 1; a fault is where it is not what it should be."""

    def __init__(self, fault=""):
        self.fault, self.beats, self.taken, self.age = fault, [], 0, 0
        self.waited = 0  # cycles that a beat has
        self.since = 0  # cycles since a reset, once there was one

    def cycle(self, word):
        """Result bits in a cycle; the rising edge at its end."""
        driven = INSTANCE.unpack(word)
        self.age += 1
        ready = len(self.beats) < 2 or (self.fault == "overwrites")
        if self.since and self.fault in AFTER_RESET:
            ready = ready and self.since not in AFTER_RESET[self.fault]
        valid = bool(self.beats)
        if self.fault == "valid waits for ready":
            valid = valid and driven["o__ready"]
        self.waited = self.waited + 1 if valid and not driven["o__ready"] else 0
        if self.fault == "valid drops late":
            valid = valid and self.waited != 20
        elif self.fault == "valid drops":
            valid = valid and self.age % 7 != 0
        elif self.fault == "stuck" and self.taken > 5:
            ready = valid = False
        payload = f"{self.beats[0] if self.beats else random.getrandbits(8):08b}"
        if self.fault == "payload changes late" and self.waited == 30:
            payload = f"{(self.beats[0] ^ 4):08b}"
        if self.fault == "payload changes" and valid and self.age % 5 == 0:
            payload = f"{(self.beats[0] ^ 4):08b}"
        if self.fault == "undefined bit" and self.taken == 7:
            payload = "0x000000"
        bits = f"{int(valid)}{payload}{int(ready)}"
        if self.fault == "undefined valid" and self.age == 9:
            bits = "x" + bits[1:]
        if self.fault == "undefined ready" and self.age == 9:
            bits = bits[:-1] + "z"
        if valid and driven["o__ready"]:
            if not (self.fault == "doubles" and self.taken % 9 == 8):
                self.beats.pop(0)
            self.taken += 1
        if driven["i__valid"] and ready:
            beat = driven["i__payload"] + 1 & 255
            if self.fault == "overwrites":
                self.beats = self.beats[:1]
            if not (self.fault == "loses" and self.age % 9 == 8):
                self.beats.append(beat)
            if self.fault == "swaps" and len(self.beats) == 2:
                self.beats.reverse()
        if driven["rst"] and self.fault != "reset ignored":
            self.beats = self.beats[:1] if self.fault == "keeps one" else []
        self.since = 1 if driven["rst"] else self.since and self.since + 1
        return bits


def runs():
    rng = random.Random(1)
    made = []
    for pace in [*paces(rng, ("i",), ("o",), 6), *long_holds(("i",), ("o",)), *places(PORTS, 8)]:
        beats = [rng.getrandbits(8) for _ in range(30)]
        made.append(Run({"i": beats}, {"o": [b + 1 & 255 for b in beats]}, pace))
    held = before_reset(("o",), 6)
    made.insert(2, Run({"i": [1] * 9}, {"o": [2] * 9}, held, reset_after=6))
    made.insert(2, Run({"i": [1] * 9}, {"o": [2] * 9}, Pace({"o": 0.2}), reset_after=6))
    return made


def play(unit, limit=10_000):
    agent = StreamAgent(INSTANCE, runs(), Cover(), READY, {"o": 1}, None)
    for _ in range(limit):
        if agent.done:
            return agent
        agent.see(unit.cycle(agent.stim()))
    raise AssertionError("the agent does not end")


def test_a_right_unit_passes_and_every_bin_is_hit():
    agent = play(Queue())
    assert (agent.wrong, agent.first) == (0, "")
    assert agent.cover.missing == []
    assert {
        "i waits", "i pauses", "o waits", "o is awaited", "reset under way",
        "i is ready after a reset", "place 3: o is held up",
    } <= agent.cover.bins.keys()  # fmt: skip
    assert 30 * 28 <= agent.results < 30 * 30


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("loses", " beat "),
        ("doubles", " beat "),
        ("swaps", " beat "),
        ("overwrites", " beat "),
        ("payload changes", " beat "),
        ("payload changes late", " beat "),
        ("valid drops late", "o.valid went away before beat"),
        ("undefined bit", "0x000000"),
        ("undefined valid", "o.valid is x"),
        ("undefined ready", "i.ready is z"),
        ("valid drops", "o.valid went away before beat"),
        ("reset ignored", "i.ready is 0 after a reset"),
        ("keeps one", "o has a beat before one entered"),
        ("late after a reset", "i.ready is 0 after a reset"),
        ("never again", "i.ready is 0 after a reset"),
        ("stuck", "stuck for 400 cycles: i "),
    ],
)
def test_a_wrong_unit_fails(fault, words):
    agent = play(Queue(fault))
    assert agent.wrong > 0
    assert agent.first.startswith("toy run ")
    assert words in agent.first


def test_valid_that_waits_for_ready_is_stuck_before_a_patient_sink():
    agent = play(Queue("valid waits for ready"))
    assert "o waits" in agent.cover.missing
    assert "o is ready only for what is there" in agent.cover.missing
    assert "stuck for 400 cycles" in agent.first


def test_the_first_beat_waits_for_long_and_the_others_do_not():
    run = Run({"i": [5] * 6}, {"o": [6] * 6}, Pace(patient={"o": LONG}, name="patient"))
    agent, unit = StreamAgent(INSTANCE, [run], Cover(), READY, {"o": 1}, None), Queue()
    seen = []
    while not agent.done:
        word = agent.stim()
        bits = unit.cycle(word)
        seen.append((bits[0] == "1", INSTANCE.unpack(word)["o__ready"]))
        agent.see(bits)
    begin = seen.index((True, 0))
    assert seen[begin : begin + LONG + 3] == [(True, 0)] * LONG + [(True, 1), (True, 0), (True, 1)]
    assert agent.cover.bins["patient"] == 1


def test_a_reset_comes_also_where_all_is_through_before():
    run = Run({"i": [5]}, {"o": [6]}, Pace(), reset_after=80)
    agent, unit = StreamAgent(INSTANCE, [run, run], Cover(), READY, {"o": 1}, None), Queue()
    resets = []
    for cycle in range(200):
        word = agent.stim()
        if INSTANCE.unpack(word)["rst"]:
            resets.append(cycle)
        agent.see(unit.cycle(word))
    assert agent.done
    assert [b - a for a, b in zip([0, *resets], resets, strict=False)] == [
        pytest.approx(82, abs=4)
    ] * 2
    assert (agent.wrong, agent.results) == (0, 2)


def test_a_hold_counts_only_where_there_was_a_beat():
    for start, hits in ((2, 1), (40, 0)):
        pace = Pace(holds={"o": range(start, start + 20)}, name="held", needs="o")
        run = Run({"i": [5] * 6}, {"o": [6] * 6}, pace)
        agent, unit = StreamAgent(INSTANCE, [run], Cover(), READY, {"o": 1}, None), Queue()
        while not agent.done:
            agent.see(unit.cycle(agent.stim()))
        assert agent.cover.bins["held"] == hits


def test_a_port_is_held_up_where_it_is_said():
    run = Run({"i": [5] * 6}, {"o": [6] * 6}, Pace(holds={"i": range(2, 5)}, name="held"))
    agent, unit = StreamAgent(INSTANCE, [run], Cover(), READY, {"o": 1}, None), Queue()
    offered = []
    for _ in range(12):
        word = agent.stim()
        offered.append(INSTANCE.unpack(word)["i__valid"])
        agent.see(unit.cycle(word))
    begin = offered.index(1)  # after a rest
    assert offered[begin : begin + 8] == [1, 1, 0, 0, 0, 1, 1, 1]
