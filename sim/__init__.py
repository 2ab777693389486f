"""Number formats and bit-accurate arithmetic: what the hardware must compute.

This package is the base layer. `formats`, `catalog`, `spec` and `golden` need only the standard
library, `codec` adds numpy, `kernels` adds numba and `engine` adds torch; nothing is imported
here, so `import macsmith.sim.formats` stays cheap.
"""

if __name__ != "macsmith.sim":
    raise ImportError(f"this is macsmith.sim, not {__name__}: run `make setup`")
