"""Verilog export: one flattened module of plain Verilog-2001 per component."""

import errno
import gc
import inspect
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

__all__ = ["require_places", "to_verilog", "to_verilog_many", "write_atomically", "write_files",
           "write_verilog"]  # fmt: skip

#: Words no module may be called: of Verilog-2001 (first) and SystemVerilog, as which tools read it.
KEYWORDS = """
    always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign
    default defparam design disable edge else end endcase endconfig endfunction endgenerate
    endmodule endprimitive endspecify endtable endtask event for force forever fork function
    generate genvar highz0 highz1 if ifnone incdir include initial inout input instance integer
    join large liblist library localparam macromodule medium module nand negedge nmos nor
    noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1
    pulldown pullup pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release repeat
    rnmos rpmos rtran rtranif0 rtranif1 scalared showcancelled signed small specify specparam
    strong0 strong1 supply0 supply1 table task time tran tranif0 tranif1 tri tri0 tri1 triand
    trior trireg unsigned use uwire vectored wait wand weak0 weak1 while wire wor xnor xor
    accept_on alias always_comb always_ff always_latch assert assume before bind bins binsof bit
    break byte chandle checker class clocking const constraint context continue cover covergroup
    coverpoint cross dist do endchecker endclass endclocking endgroup endinterface endpackage
    endprogram endproperty endsequence enum eventually expect export extends extern final
    first_match foreach forkjoin global iff ignore_bins illegal_bins implements implies import
    inside int interconnect interface intersect join_any join_none let local logic longint matches
    modport nettype new nexttime null package packed priority program property protected pure rand
    randc randcase randsequence ref reject_on restrict return s_always s_eventually s_nexttime
    s_until s_until_with sequence shortint shortreal soft solve static string strong struct super
    sync_accept_on sync_reject_on tagged this throughout timeprecision timeunit type typedef union
    unique unique0 until until_with untyped var virtual void wait_order weak wildcard with within
"""


def write_verilog(
    component: wiring.Component, path: str | Path, *, name: str | None = None
) -> Path:
    """Write ``component`` as one Verilog module, called ``name`` or as the file's stem.

    The file appears complete or not at all. ValueError if the module cannot be called so; OSError,
    with the path, if it cannot be written.
    """
    path = Path(path)
    write_atomically(path, to_verilog(component, name=path.stem if name is None else name))
    return path


def to_verilog(component: wiring.Component, *, name: str) -> str:
    """Verilog text of ``component`` as module ``name``.

    Ports are clk and rst, if there is a register, and then the members of the signature; signed
    ones are declared ``signed``. The same component gives the same bytes in every process, whatever
    was exported before. ValueError if ``name`` is no Verilog identifier, a keyword, or what one of
    the module's signals is called.
    """
    return to_verilog_many({name: component})[name]


def to_verilog_many(components: Mapping[str, wiring.Component]) -> dict[str, str]:
    """`to_verilog` of each, by module name, for the start-up of one Yosys."""
    jobs = []
    for name, component in components.items():
        _require_module_name(name)
        with _no_garbage_collection():
            text = rtlil.convert(component, name=name, emit_src=False)
        jobs.append({"name": name, "rtlil": text, "ports": _ports(component)})
    done = subprocess.run(
        # -P: a folder called `hw` where the user happens to be must not matter.
        [sys.executable, "-P", "-m", "macsmith.hw.verilog_worker"],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"Yosys could not write the Verilog:\n{done.stderr[-2000:]}")
    texts = json.loads(done.stdout)
    for name, text in zip(components, texts, strict=True):
        _require_no_signal(name, text)
    return {
        name: f"// {_describe(component)}\n{text}"
        for (name, component), text in zip(components.items(), texts, strict=True)
    }


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Of the objects that Amaranth makes for a module most are in use until it is done: to look for
    garbage among them takes a sixth of the time. Between modules it is collected."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """`write_files` of one file."""
    write_files({path: content})


def write_files(contents: Mapping[str | Path, str | bytes]) -> None:
    """Write files of which each appears complete or not at all, and none before all are complete.

    They are written beside their places and then renamed. What exists and is no regular file
    (``/dev/stdout``, a pipe) is written to, and not replaced, before the others are renamed.
    ValueError and OSError as of `require_places`; an OSError names the one path and nothing else.
    """
    require_places(*contents)
    parts: dict[Path, tuple[Path, str | Path]] = {}
    devices: dict[str | Path, bytes] = {}
    try:
        for path, content in contents.items():
            data = content.encode() if isinstance(content, str) else content
            if _is_device(Path(path)):
                devices[path] = data
                continue
            place = Path(path).resolve()  # what a link leads to is replaced, and not the link
            part = place.with_name(f".{place.name}.{os.getpid()}.part")
            parts[part] = place, path
            with _naming(path):
                part.write_bytes(data)
        for path, data in devices.items():
            with _naming(path):
                Path(path).write_bytes(data)
        for part, (place, path) in parts.items():
            with _naming(path):
                part.replace(place)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def require_places(*paths: str | Path) -> None:
    """OSError if one of the files could not be written, ValueError if two are one file.

    Links count as what they lead to, and two hard links of a file as one. For whoever works for
    long before it writes; `write_files` asks again.
    """
    known: dict[Path | tuple[int, int], str | Path] = {}
    for path in paths:
        place = Path(path).resolve()
        if _is_device(place):
            continue  # a device takes anything
        code = 0
        if place.is_dir():
            code = errno.EISDIR
        elif not place.parent.is_dir():
            code = errno.ENOTDIR if place.parent.exists() else errno.ENOENT
        elif not os.access(place.parent, os.W_OK):
            code = errno.EACCES
        if code:
            raise OSError(code, os.strerror(code), str(path))
        file = (place.stat().st_dev, place.stat().st_ino) if place.exists() else place
        if file in known:
            raise ValueError(f"{known[file]} and {path} are one file: each needs its own")
        known[file] = path


def _is_device(path: Path) -> bool:
    return path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir()


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """An OSError of the block is about ``path``, whatever the file was called on the way."""
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None


def _require_module_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", name):
        raise ValueError(
            f"{name!r} cannot name a Verilog module: "
            "it needs letters, digits, _ and $, and starts with no digit"
        )
    if name in KEYWORDS.split():
        raise ValueError(f"{name!r} cannot name a Verilog module: it is a keyword")


def _require_no_signal(name: str, text: str) -> None:
    """Simulators cannot tell an instance from a signal in it, if both are called the same."""
    if re.search(rf"^  (input|output|wire|reg) [^;]*\b{re.escape(name)};$", text, re.MULTILINE):
        raise ValueError(f"{name!r} cannot name this module: one of its signals is called so")


def _ports(component: wiring.Component) -> list[str]:
    """Port names in order: clock and reset, then the signature (RTLIL has its own order)."""
    members = component.signature.flatten(component)
    return ["clk", "rst", *("__".join(map(str, path)) for path, _, _ in members)]


def _describe(component: wiring.Component) -> str:
    """One line for the head of the file: what it is, of what, built how, with which latency."""
    words = [type(component).__name__]
    if spec := getattr(component, "spec", None):
        words.append(
            f"{spec.weights.name} x {spec.activations.name}, acc_width {spec.acc_width}, "
            f"{spec.overflow}, lanes {spec.lanes}"
        )
    elif fmt := getattr(component, "fmt", None):
        words.append(fmt.name)
    for what in (*list(inspect.signature(type(component)).parameters)[1:], "latency"):
        if isinstance(value := getattr(component, what, None), (int, str)):
            words.append(f"{what} {value}")
    return ", ".join(words).replace(", ", ": ", 1)
