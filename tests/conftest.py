"""Settings that must be there before any library is loaded; the command line makes the same."""

from macsmith.experiments import console

console.prepare_process()
