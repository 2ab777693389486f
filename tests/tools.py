"""Simulators that a test needs, without which it is skipped and says why; and the shortest bench
in which nothing takes turns."""

from dataclasses import replace

import pytest

from macsmith.experiments.verify.simulators import SimulatorMissing, environment
from macsmith.experiments.verify.whole import EFFORTS

#: What `verify --all` runs in Icarus; of what takes turns there, all of it.
NO_TURNS = replace(EFFORTS["icarus"], turns=1)


def needs(*simulators: str) -> None:
    """Skip the test if a simulator is not installed. Whatever else is wrong with it is an error."""
    for name in simulators:
        try:
            environment(name)
        except SimulatorMissing as error:
            pytest.skip(str(error))
