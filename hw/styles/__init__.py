"""One file per microarchitecture: every module here is imported when a style is first asked for.

A new style is a new file in this folder (or, in another project, any module that is imported
before): it registers itself with a unit's `macsmith.hw.style.Styles`, and every command, bench and
proof finds it there.
"""
