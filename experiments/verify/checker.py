"""Both buses of a bench, cycle by cycle: what is driven, what is due, and what was wrong."""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macsmith.experiments.units import get_unit
from macsmith.experiments.verify.agent import Agent, make_agent
from macsmith.experiments.verify.bench import Instance, parts
from macsmith.experiments.verify.stimulus import Stream, make_stream, stream_key

__all__ = ["Checker", "bench_keys"]

CHUNK = 512  # cycles of which both buses are laid out at a time


def bench_keys(instances: Sequence[Instance]) -> list[Hashable]:
    """What tells which instances share a part of the operand bus: those with one stream."""
    return [
        ("agent", k) if get_unit(one.unit).handshake else stream_key(one)
        for k, one in enumerate(instances)
    ]


class Checker:
    """Streams and agents of many units; wrong results are counted, the first one described.

    Results are compared for all streams at once, as text, and looked at one by one only where
    they differ.
    """

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.instances = instances
        keys = bench_keys(instances)
        self.starts, self.stim_bytes = parts(keys, [one.stim_bytes for one in instances])
        made: dict[Hashable, Stream] = {}
        self.streams: dict[int, Stream] = {}
        self.agents: dict[int, Agent] = {}
        for k, (one, key) in enumerate(zip(instances, keys, strict=True)):
            if get_unit(one.unit).handshake:
                self.agents[k] = make_agent(one)
                continue
            if key not in made:
                made[key] = make_stream(one)
            self.streams[k] = replace(made[key], instance=one)
        self.cycles = max(map(len, self.streams.values()), default=0)
        self.wrong = [0] * len(instances)
        self.first = [""] * len(instances)
        ends = np.cumsum([0, *(one.seen_bytes for one in instances)]).tolist()
        #: Bytes of each instance's results, from the end of the text.
        self.places = list(itertools.pairwise(ends))
        self._stim_rows = {
            self.starts[k]: _rows(s.stim, s.instance.stim_bytes) for k, s in self.streams.items()
        }
        due: dict[tuple[int, int], NDArray[np.uint8]] = {}  # by part and latency
        self._due_rows = {}
        for k, stream in self.streams.items():
            which = self.starts[k], stream.instance.latency
            if which not in due:
                due[which] = _rows(stream.want, stream.instance.seen_bytes)
            self._due_rows[k] = due[which]
        self._chunk = -1

    def done(self, cycle: int) -> bool:
        return cycle >= self.cycles and all(agent.done for agent in self.agents.values())

    def first_stimulus(self) -> int:
        """The operand bus of the first cycle, before any agent has begun."""
        self._lay_out(0)
        word = int.from_bytes(self._stim[0].tobytes(), "little")
        for k, agent in self.agents.items():
            word |= agent.instance.reset_word << (8 * self.starts[k])
        return word

    def stimulus(self, cycle: int) -> int:
        """The operand bus."""
        self._lay_out(cycle)
        word = int.from_bytes(self._stim[cycle % CHUNK].tobytes(), "little")
        for k, agent in self.agents.items():
            word |= agent.stim() << (8 * self.starts[k])
        return word

    def check(self, cycle: int, bits: str) -> None:
        """Compare the result bus, given as the simulator prints it: most significant bit first."""
        total = len(bits)
        for k, agent in self.agents.items():
            low, high = self.places[k]
            agent.see(bits[total - 8 * high : total - 8 * low])
        due = self._due[cycle % CHUNK]
        if not self.agents and bits == due:
            return
        for k, stream in self.streams.items():
            low, high = self.places[k]
            part = slice(total - 8 * high, total - 8 * low)
            if bits[part] == due[part] or cycle >= len(stream):
                continue
            self.wrong[k] += 1
            if not self.first[k]:
                self.first[k] = stream.describe(cycle, bits[part])

    def result(self, cycles: int) -> dict:
        """What was found, by instance, in order."""
        found = []
        for k in range(len(self.instances)):
            if k in self.agents:
                agent = self.agents[k]
                counts = agent.results, agent.wrong, agent.first
            else:
                counts = sum(self.streams[k].entered), self.wrong[k], self.first[k]
            cover = (self.agents.get(k) or self.streams[k]).cover
            found.append({
                **dict(zip(("results", "wrong", "first"), counts, strict=True)),
                "bins": cover.bins,
                "events": dict(cover.events),
            })
        return {"cycles": cycles, "instances": found}

    def _lay_out(self, cycle: int) -> None:
        """Both buses of the chunk of ``cycle``; a stream that has ended repeats its last."""
        chunk = cycle // CHUNK
        if chunk == self._chunk:
            return
        self._chunk = chunk
        rows = np.arange(chunk * CHUNK, (chunk + 1) * CHUNK)
        self._stim = np.zeros((CHUNK, self.stim_bytes), np.uint8)
        for start, data in self._stim_rows.items():
            self._stim[:, start : start + data.shape[1]] = data[np.minimum(rows, len(data) - 1)]
        due = np.zeros((CHUNK, self.places[-1][1]), np.uint8)
        for k, data in self._due_rows.items():
            low, high = self.places[k]
            due[:, low:high] = data[np.minimum(rows, len(data) - 1)]
        text = np.unpackbits(due[:, ::-1], axis=1) + ord("0")
        self._due = [row.tobytes().decode() for row in text]


def _rows(words: Sequence[int], size: int) -> NDArray[np.uint8]:
    """Integers as rows of ``size`` bytes, least significant first."""
    data = b"".join([word.to_bytes(size, "little") for word in words])
    return np.frombuffer(data, np.uint8).reshape(-1, size)
