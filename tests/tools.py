"""Simulators that a test needs; without one the test is skipped and says which."""

import pytest

from macsmith.experiments.verify.simulators import SimulatorMissing, environment


def needs(*simulators: str) -> None:
    """Skip the test if a simulator is not installed. Whatever else is wrong with it is an error."""
    for name in simulators:
        try:
            environment(name)
        except SimulatorMissing as error:
            pytest.skip(str(error))
