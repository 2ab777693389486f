"""The command's options and order, without running what the commands run."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from macsmith.experiments import inference, quantizing
from macsmith.experiments.cli import app, main
from macsmith.experiments.cli_app import ORDER
from macsmith.experiments.models.calibration import Calibration

LINES = {
    "quantize_model": ("quantize", "opt-mini", "--recipe", "w4a8-gptq-dint4", "-o", "q"),
    "evaluate_model": ("eval", "opt-mini", "--recipe", "w4a8-gptq-dint4"),
}
HOMES = {"quantize_model": quantizing, "evaluate_model": inference}


class _Reached(Exception):
    """A command has called what it is for."""


def calibration_of(function, monkeypatch, *options):
    """The calibration that a command hands to a function."""

    def reached(*args, **kwargs):
        raise _Reached(kwargs.get("calibration", args[-1]))

    monkeypatch.setattr(HOMES[function], function, reached)
    with pytest.raises(_Reached) as caught:
        CliRunner().invoke(app, [*LINES[function], *options], catch_exceptions=False)
    return caught.value.args[0]


@pytest.mark.parametrize("function", LINES)
def test_calibration_is_as_the_options_say_and_usual_without(function, monkeypatch):
    assert calibration_of(function, monkeypatch) == Calibration()
    given = ("--calibration", "text.txt", "--samples", "3", "--length", "64", "--seed", "5")
    wanted = Calibration(3, 64, 5, "text.txt")
    assert calibration_of(function, monkeypatch, *given) == wanted
    alone = calibration_of(function, monkeypatch, "--seed", "7", "--task", "t.txt")
    assert alone == Calibration(seed=7, task="t.txt")


@pytest.mark.parametrize("command", ["quantize", "eval"])
def test_help_names_the_usual_calibration(command):
    usual = Calibration()
    options = {p.name: p.help for p in get_command(app).commands[command].params}
    for name, value in (
        ("calibration", usual.text), ("samples", usual.samples), ("length", usual.length),
        ("seed", usual.seed),
    ):  # fmt: skip
        assert options[name].endswith(f"; else {value}")


def test_every_command_has_its_place():
    assert sorted(ORDER) == sorted(get_command(app).commands)


@pytest.mark.parametrize("errors", ["without-rounding", "without-underflow"])
def test_a_part_of_the_errors_is_neither_run_exactly_nor_saved(errors, tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(f'version = 1\n[weights]\nformat = "int4"\nerrors = "{errors}"\n')
    for run, words in (
        (lambda: inference.prepare("opt-mini", str(path), "exact"), "nothing to run exactly"),
        (lambda: quantizing.quantize_model("opt-mini", str(path), tmp_path / "q"), "to save"),
    ):
        with pytest.raises(ValueError, match=rf"^recipe '.*r\.toml' is {errors}: .*{words}$"):
            run()
    assert [file.name for file in tmp_path.iterdir()] == ["r.toml"]


def test_an_interrupt_is_said(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("macsmith.experiments.doctor.examine", interrupted)
    monkeypatch.setattr("sys.argv", ["macsmith", "doctor"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "macsmith: interrupted\n"
