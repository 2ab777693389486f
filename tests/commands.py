"""The command line as a person has it: exit status, what is printed, what is complained of."""

import pytest

from macsmith.experiments.cli import main


def run(monkeypatch, capsys, *args):
    """`macsmith` with these arguments: (exit status, stdout, stderr)."""
    monkeypatch.setattr("sys.argv", ["macsmith", *map(str, args)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out, said.err
