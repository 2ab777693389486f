"""Matrix products of codes, bit for bit what the hardware of a `MacSpec` computes, fast.

    codes --decode--> levels --one of PATHS--> exact sum --wrap--> accumulator
                             `-- numba, clamping group by group (only if a clamp can happen)

A path is taken only where a bound, computed from these operands, proves it exact, and of those the
fastest; without dot-product instructions int8 is behind the floats:

    int8      torch._int_mm, int8 x int8 -> int32: levels within one byte of an offset per output,
              and chunks of K so short that no int32 can overflow
    float32   a GEMM in floats: sum |a| |u| < 2**24, so every partial sum is an integer they hold
    float64   the same: below 2**53
    numba     int64 loops: always exact, and the only path that clamps after every group

Wrapping is a ring homomorphism: it commutes with + and *, so one wrap at the end is the wrap after
every group. Saturation is no homomorphism: it takes an exact path only where the bound shows that
no partial sum can leave the accumulator.
"""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from macsmith.sim import kernels
from macsmith.sim.codec import code_dtype, decode, level_table, zero_point_column
from macsmith.sim.spec import MacSpec

__all__ = ["PATHS", "Weights", "int8_is_exact", "linear", "matmul", "provable"]

PATHS = ("int8", "float32", "float64", "numba")
_FLOATS = (np.float32, np.float64)
#: Instructions for sums of int8 products, as torch names them; without any, it has slow loops.
_DOTS = ("avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "dot", "i8mm")
INT8_CHUNK = 2**16  # products of +-128 that an int32 sums with room to spare: 2**16 * 2**14 < 2**31


@dataclass(frozen=True, eq=False)
class Weights:
    """Weight codes of one accumulation [N, K], decoded once for any number of calls.

    levels   int64 [N, K]   at each row's zero point
    offset   int64 [N]      levels - offset fit int8, where `bytes_` is not None
    bytes_   int8 [N, K]    levels - offset, or None where a row spans more than 255
    sums     int64 [N]      sum over k of the levels: the zero-point correction of `linear`
    top      int            largest sum over k of |level|: bounds every partial sum
    """

    spec: MacSpec
    levels: NDArray[np.int64]
    offset: NDArray[np.int64]
    bytes_: NDArray[np.int8] | None
    sums: NDArray[np.int64]
    top: int

    @classmethod
    def from_codes(cls, codes, spec: MacSpec, zero_point=None) -> "Weights":
        """ValueError if the codes or zero points are none of ``spec.weights``, or K is too deep.

        Too deep: "exact" is not, or the sum of the levels, which the zero-point correction needs,
        could leave 62 bits.
        """
        codes = _as_codes(codes, spec.weights, "w_codes")
        z = None if zero_point is None else _to_numpy(zero_point)
        z = zero_point_column(z, spec.weights, len(codes))
        spec.check_depth(codes.shape[1])
        levels = decode(codes, spec.weights, z)
        table = level_table(spec.weights)
        lo, hi = table.min(axis=1)[z], table.max(axis=1)[z]
        offset = np.where((lo < -128) | (hi > 127), (lo + hi + 1) // 2, 0)
        fits = bool((hi - lo <= 255).all())
        bytes_ = (levels - offset[:, None]).astype(np.int8) if fits else None
        top = levels.shape[1] * max(map(abs, spec.weights.level_range))  # in Python's integers
        if top >= 2**62:
            raise ValueError(
                f"{levels.shape[1]} levels of {spec.weights.name} sum to more than 62 bits, "
                "too many for the zero-point correction"
            )
        top = int(np.abs(levels).sum(axis=1).max(initial=0))
        return cls(spec, levels, offset, bytes_, levels.sum(axis=1), top)


def matmul(a_codes, w_codes, spec: MacSpec, zero_point=None, *, path: str | None = None):
    """Accumulators int64 [T, N] of activations [T, K] and weights [N, K] (codes, or `Weights`).

    Codes are uint8 or uint16 arrays or tensors, int8 too where the format is two's complement;
    ``zero_point`` is an integer per output channel or one for all (zero-pointed formats only). A
    torch tensor in gives a torch tensor out, on its device. ``path`` forces one of PATHS.

    ValueError on shapes that do not match, codes out of range, a depth that ``exact`` does not
    cover, or a forced path that cannot be proven exact for these operands.
    """
    w = w_codes
    if not isinstance(w, Weights):
        w = Weights.from_codes(w_codes, spec, zero_point)
    elif w.spec != spec or zero_point is not None:
        raise ValueError(
            "prepared Weights carry their own spec and zero points: pass the same spec"
        )
    a = _as_codes(a_codes, spec.activations, "a_codes")
    if a.shape[1] != w.levels.shape[1]:
        raise ValueError(
            f"a_codes has {a.shape[1]} products per sum, but w_codes has {w.levels.shape[1]}"
        )
    a = _levels(a, spec.activations)
    proven = _provable(a, w)
    if path is None:
        path = proven[0]
    elif path not in proven:
        raise ValueError(f"path must be one proven exact here ({', '.join(proven)}), not {path!r}")
    acc = _RUN[path](a, w)
    return _like(acc, a_codes)


def provable(a_codes, w: Weights) -> list[str]:
    """The PATHS that are exact for these operands, fastest first: `matmul` takes the first.

    numba, which is always exact, is last.
    """
    a = _levels(_as_codes(a_codes, w.spec.activations, "a_codes"), w.spec.activations)
    return _provable(a, w)


def linear(a_codes, a_scale, a_zero, w: "Weights | list[Weights]", w_scale):
    """y float32 [T, N] of a linear layer, without its bias: `golden.linear`, bit for bit.

    y = (acc - a_zero * sum u) * (a_scale * w_scale * 2**-frac_bits); the integer is converted once,
    the product of scales is formed first. a_scale float32 [T], a_zero integer [T]; w_scale float32
    [N], or [N, G] with a list of G `Weights` that split K in order: then one accumulation per
    group, and the scaled groups are added in order of k.
    """
    parts = w if isinstance(w, list) else [w]
    codes, sa, sw = _to_numpy(a_codes), _to_numpy(a_scale), _to_numpy(w_scale)
    za = _to_numpy(a_zero).astype(np.int64)
    if sa.dtype != np.float32 or sw.dtype != np.float32:
        raise ValueError(f"scales must be float32, not {sa.dtype} and {sw.dtype}")
    sw = sw.reshape(-1, len(parts))
    y, first = None, 0
    for g, part in enumerate(parts):
        last = first + part.levels.shape[1]
        acc = matmul(codes[:, first:last], part, part.spec) - za.reshape(-1, 1) * part.sums
        scale = sa.reshape(-1, 1) * sw[:, g] * np.float32(2.0**-part.spec.frac_bits)
        scaled = acc.astype(np.float32) * scale
        y = scaled if y is None else y + scaled
        first = last
    if first != codes.shape[1]:
        raise ValueError(f"a_codes has {codes.shape[1]} products per sum, but the weights {first}")
    return _like(y, a_codes)


def _as_codes(codes, fmt, what: str) -> NDArray[np.unsignedinteger]:
    """Codes as an unsigned two-dimensional array, checked against ``fmt``."""
    codes = _to_numpy(codes)
    if codes.ndim != 2:
        raise ValueError(f"{what} must have two dimensions, not shape {codes.shape}")
    if codes.dtype == np.int8 and fmt.is_twos_complement:
        if fmt.width == 8:
            return codes.view(np.uint8)
        half = 2 ** (fmt.width - 1)
        if codes.size and not -half <= codes.min() <= codes.max() < half:
            raise ValueError(f"{what} of {fmt.name} must be in {-half}..{half - 1} as int8")
        return (codes.astype(np.int16) & (2 * half - 1)).astype(code_dtype(fmt))
    if codes.dtype not in (np.uint8, np.uint16):
        signed = ", or int8" if fmt.is_twos_complement else ""
        raise ValueError(f"{what} of {fmt.name} must be uint8 or uint16{signed}, not {codes.dtype}")
    if codes.size and codes.max() >= 2**fmt.width:
        raise ValueError(
            f"{what} of {fmt.name} must be in 0..{2**fmt.width - 1}, not {codes.max()}"
        )
    return codes


def _levels(codes, fmt) -> NDArray[np.signedinteger]:
    """Activation levels; int8 without a copy where the codes already are."""
    if fmt.is_twos_complement and fmt.width == 8:
        return codes.astype(np.uint8, copy=False).view(np.int8)
    table = level_table(fmt)[0]
    if table.min() >= -128 and table.max() <= 127:
        table = table.astype(np.int8)
    return table[codes]


def _provable(a, w: Weights) -> list[str]:
    """PATHS that are exact for these operands, fastest first."""
    if a.size == 0 or w.levels.size == 0:
        return ["numba"]
    if w.spec.overflow == "saturate" and _can_overflow(a, w):
        return ["numba"]
    proven = []
    if a.dtype == np.int8 and w.bytes_ is not None and int8_is_exact():
        proven.append("int8")
    bound = _bound(a, w)
    proven += [str(np.dtype(kind)) for kind in _FLOATS if bound < 2 ** (np.finfo(kind).nmant + 1)]
    return [*(path for path in _fastest_first() if path in proven), "numba"]


@cache
def _fastest_first() -> tuple[str, ...]:
    """GEMMs by how fast processors as this one are at them."""
    import torch

    has = getattr(torch.cpu, "get_capabilities", dict)()
    gemms = PATHS[:-1]
    return gemms if any(map(has.get, _DOTS)) else (*gemms[1:], gemms[0])


def _bound(a, w: Weights) -> int:
    """No |partial sum| of these operands is greater, whatever the order."""
    return max(abs(int(a.min())), abs(int(a.max()))) * w.top


def _can_overflow(a, w: Weights) -> bool:
    return _bound(a, w) > w.spec.acc_range[1]


def _run_int8(a, w: Weights) -> NDArray[np.int64]:
    import torch

    acc = np.zeros((len(a), len(w.levels)), np.int64)
    for first in range(0, a.shape[1], INT8_CHUNK):
        part = slice(first, first + INT8_CHUNK)
        x, u = torch.from_numpy(_padded(a[:, part])), torch.from_numpy(_padded(w.bytes_[:, part]))
        acc += torch._int_mm(x, u.t()).numpy()[: len(a), : len(w.levels)]
    if w.offset.any():
        acc += a.sum(axis=1, dtype=np.int64)[:, None] * w.offset
    return _wrapped(acc, a, w)


def _padded(levels: NDArray[np.int8]) -> NDArray[np.int8]:
    """``levels`` with zeros so that no dimension has size 1.

    `torch._int_mm` trusts the stride of such a dimension, which may be anything, and then returns
    memory it never wrote (pytorch/pytorch#195066; seen here at K = 1).
    """
    rows, cols = levels.shape
    if rows > 1 and cols > 1:
        return np.ascontiguousarray(levels)
    return np.pad(levels, ((0, rows == 1), (0, cols == 1)))


def _run_float(kind: type, a, w: Weights) -> NDArray[np.int64]:
    return _wrapped((a.astype(kind) @ w.levels.T.astype(kind)).astype(np.int64), a, w)


def _run_numba(a, w: Weights) -> NDArray[np.int64]:
    spec = w.spec
    out = np.empty((len(a), len(w.levels)), np.int64)
    if spec.overflow == "saturate":
        dtype = np.int32 if spec.sum_width <= 32 else np.int64
        lo, hi, lanes = *spec.acc_range, spec.lanes
    else:  # one group of everything in a register that wraps at 64 bits: `wrap` divides 2**64
        dtype = np.int64
        lo, hi, lanes = -(2**63), 2**63 - 1, max(1, a.shape[1])
    kernels.matmul_clamped(a.astype(dtype), kernels.in_tiles(w.levels, dtype), lo, hi, lanes, out)
    return _wrapped(out, a, w)


_RUN = {
    "int8": _run_int8,
    **{str(np.dtype(kind)): partial(_run_float, kind) for kind in _FLOATS},
    "numba": _run_numba,
}


def _wrapped(acc: NDArray[np.int64], a, w: Weights) -> NDArray[np.int64]:
    if w.spec.overflow == "wrap" and a.size and _can_overflow(a, w):
        kernels.wrap_in_place(acc, w.spec.acc_width)
    return acc


@cache
def int8_is_exact() -> bool:
    """Whether this machine's int8 GEMM sums in 32 bits.

    On processors without dot-product instructions the kernels sum pairs of products in 16 bits,
    saturating (huggingface/optimum-quanto#309). Rows of extreme levels of every sign, at depths
    with and without a remainder, show it.
    """
    import torch

    for depth in (2, 63, 64, 257):
        rows = np.array([[x, y] for x in (-128, -127, 127, 1) for y in (-128, 127, -1)], np.int8)
        x = torch.from_numpy(np.tile(rows, (2, depth))[:, :depth].copy())
        if not torch.equal(torch._int_mm(x, x.t()).double(), x.double() @ x.double().t()):
            return False
    return True


def _to_numpy(x):
    return x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)


def _like(array: NDArray, other):
    """``array`` as a tensor on ``other``'s device if ``other`` is a tensor."""
    if not hasattr(other, "detach"):
        return array
    import torch

    return torch.from_numpy(array).to(other.device)
