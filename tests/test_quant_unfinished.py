"""A quantization that is killed goes on where it was, and ends with the same bits."""

import os
import signal
import subprocess
import sys

import pytest
import tiny
import torch

import macsmith.quant as quant
from macsmith.quant import steps
from macsmith.quant.presets import CHAINS
from macsmith.quant.recipe import Attention, Recipe, Weights

GPTQ = Recipe(weights=Weights(format="dint4z"), attention=Attention(), steps=(steps.Gptq(),))


class Killed(Exception):
    """What stops a run."""


def killed_after(layers):
    def progress(done, of):
        if done == layers:
            raise Killed

    return progress


def same(one, other):
    a, b = one.state_dict(), other.state_dict()
    assert a.keys() == b.keys()
    assert len(a) > 20
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        assert a[name].stride() == b[name].stride(), name  # or sums might take another order
        assert torch.equal(a[name], b[name]), name


QUICK = {
    "awq": (steps.Awq(samples=2), steps.Rtn()),
    "aqas": (steps.Aqas(samples=2), steps.Gptq()),
    "awq-daq": (steps.Awq(samples=2, clip=False), steps.Daq(epochs=1, iterations=4)),
}


@pytest.mark.parametrize(
    ("chain", "make"),
    [
        ("gptq", tiny.llama_gqa), ("gwq", tiny.opt), ("aweq", tiny.opt), ("atq", tiny.llama_gqa),
        ("awq", tiny.llama_gqa), ("aqas", tiny.opt), ("awq-daq", tiny.opt),
    ],
)  # fmt: skip
def test_it_goes_on_and_ends_with_the_same_bits(chain, make, tmp_path):
    fmt = "dint4" if "daq" in chain else "dint4z"
    chosen = Recipe(
        weights=Weights(format=fmt, group_size=16),
        attention=Attention(),
        steps=QUICK.get(chain) or CHAINS[chain],
    )
    whole, said = make(), []
    names = quant.quantize_(whole, chosen, tiny.ids())
    half = len(names) // 2
    options = {"work": tmp_path / "w", "say": said.append}
    with pytest.raises(Killed):
        quant.quantize_(make(), chosen, tiny.ids(), progress=killed_after(half + 1), **options)
    assert len(list((tmp_path / "w").iterdir())) == 1
    ran, seen, again = [], [], make()
    found = quant.quantize_(
        again, chosen, tiny.ids(), **options,
        progress=lambda done, of: seen.append((done, of)),
        watch=lambda name, *_: ran.append(name),
    )  # fmt: skip
    assert found == names
    assert seen == [(done, len(names)) for done in range(half, len(names) + 1)]
    assert {name.split(".layers.")[1][0] for name in ran} == {"1"}
    assert said[0] == f"{tmp_path / 'w'} has 1 finished blocks: going on behind them"
    same(whole, again)
    assert all(state.enabled for state in quant.attention.quantized_attentions(again))
    with torch.no_grad():
        for execution in ("float", "exact"):
            quant.set_execution(whole, execution)
            quant.set_execution(again, execution)
            assert torch.equal(whole(tiny.ids()).logits, again(tiny.ids()).logits)


def test_anything_else_starts_anew(tmp_path):
    work, said = tmp_path / "w", []

    def stopped(model, chosen=GPTQ, ids=None, layers=12):
        with pytest.raises(Killed):
            quant.quantize_(
                model, chosen, tiny.ids() if ids is None else ids,
                progress=killed_after(layers), work=work, say=said.append,
            )  # fmt: skip
        return said.pop() if said else None

    assert stopped(tiny.opt(), layers=7) is None
    assert "1 finished blocks" in stopped(tiny.opt())

    def other():
        model = tiny.opt()
        with torch.no_grad():
            model.model.decoder.layers[1].fc1.bias[3].add_(2.0**-10)
        return model

    for make, change in (
        (other, {}),
        (tiny.opt, {"ids": tiny.ids(5)}),
        (tiny.opt, {"chosen": GPTQ.model_copy(update={"attention": None})}),
    ):
        assert stopped(make(), layers=7, **change).endswith("or version: starting anew")
        assert stopped(make(), layers=8, **change).endswith("finished blocks: going on behind them")


def test_a_damaged_block_is_made_again(tmp_path):
    whole = tiny.opt()
    quant.quantize_(whole, GPTQ, tiny.ids(), work=tmp_path / "w")
    first, second = sorted((tmp_path / "w").iterdir())
    first.write_bytes(first.read_bytes()[:20])
    said = []
    (tmp_path / "w" / "0000-x.safetensors.tmp").write_text("half")
    again, ran = tiny.opt(), []
    quant.quantize_(
        again, GPTQ, tiny.ids(), work=tmp_path / "w", watch=lambda name, *_: ran.append(name),
        say=said.append,
    )  # fmt: skip
    assert said == [f"{tmp_path / 'w'} has 1 finished blocks, and 1 damaged ones, made again"]
    assert len(ran) == 6
    same(whole, again)
    assert sorted((tmp_path / "w").iterdir()) == [first, second]


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_bit_that_flipped_is_noticed(damaged, tmp_path):
    whole, work = tiny.opt(), tmp_path / "w"
    quant.quantize_(whole, GPTQ, tiny.ids(), work=work)
    files = sorted(work.iterdir())
    good = files[damaged].read_bytes()
    start = 8 + int.from_bytes(good[:8], "little")  # of the tensors
    for place in (start, len(good) - 1):
        bad = bytearray(good)
        bad[place] ^= 4
        files[damaged].write_bytes(bad)
        said, ran, again = [], [], tiny.opt()
        quant.quantize_(
            again, GPTQ, tiny.ids(), work=work, watch=lambda name, *_, ran=ran: ran.append(name),
            say=said.append,
        )  # fmt: skip
        assert said == [
            f"{work} has 2 finished blocks: going on behind them",
            f"{files[damaged]} is damaged: {2 - damaged} finished blocks from it on are made again",
        ]
        assert len(ran) == 6 * (2 - damaged)
        same(whole, again)


def test_what_is_in_the_way(tmp_path):
    for name in ("notes.txt", "model.safetensors"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(FileExistsError, match="is in the way: it is no working folder"):
            quant.quantize_(tiny.opt(), GPTQ, tiny.ids(), work=tmp_path)
        (tmp_path / name).unlink()
    recipe = Recipe(
        weights=Weights(format="dint4z", errors="without-rounding"), steps=(steps.Gptq(),)
    )
    with pytest.raises(ValueError, match="'without-rounding': nothing is kept of that"):
        quant.quantize_(tiny.opt(), recipe, tiny.ids(), work=tmp_path / "w")


def test_nothing_is_left_where_no_block_is_done(tmp_path):
    with pytest.raises(Killed):
        quant.quantize_(tiny.opt(), GPTQ, tiny.ids(), progress=killed_after(1), work=tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_nothing_is_left_where_the_input_is_to_blame(tmp_path):
    model, work = tiny.opt(), tmp_path / "w"
    last = model.model.decoder.layers[1].fc1
    last.register_forward_pre_hook(lambda _, args: (args[0] * torch.inf,))
    with pytest.raises(ValueError, match="not finite"):
        quant.quantize_(model, GPTQ, tiny.ids(), work=work)
    assert not work.exists()


def test_what_is_kept_is_said(tmp_path):
    from macsmith.experiments.models.calibration import Calibration
    from macsmith.experiments.quantizing import quantize_model

    said, few = [], Calibration(samples=4, length=32)
    with pytest.raises(Killed):
        quantize_model(
            "opt-mini", "w4a8-gptq-dint4z", tmp_path / "q", few, say=said.append,
            progress=killed_after(13),
        )  # fmt: skip
    work = tmp_path / "q.unfinished"
    assert said == [f"{work} keeps 2 finished blocks: the same command goes on behind them"]
    assert list(tmp_path.iterdir()) == [work]


def test_one_process_at_a_time(tmp_path):
    def again(done, of):
        quant.quantize_(tiny.opt(), GPTQ, tiny.ids(), work=tmp_path / "w")

    with pytest.raises(BlockingIOError, match="another process works in"):
        quant.quantize_(tiny.opt(), GPTQ, tiny.ids(), work=tmp_path / "w", progress=again)


#: Kills itself as the scheduler would, in the middle of the second block.
VICTIM = """
import os, signal, sys
from macsmith.experiments.models.calibration import Calibration
from macsmith.experiments.quantizing import quantize_model
from pathlib import Path
def progress(done, of):
    if done == of // 2 + 2:
        os.kill(os.getpid(), signal.SIGKILL)
quantize_model(sys.argv[1], "w4a8-gptq-dint4z", Path(sys.argv[2]),
    Calibration(samples=4, length=32), progress=progress)
"""


def test_killed_by_the_system_and_begun_again(tmp_path):
    from macsmith.experiments.models import locate
    from macsmith.experiments.models.calibration import Calibration
    from macsmith.experiments.quantizing import quantize_model

    model, out = locate("llama-mini"), tmp_path / "q"
    victim = subprocess.run([sys.executable, "-c", VICTIM, model, str(out)], env=dict(os.environ))
    assert victim.returncode == -signal.SIGKILL
    assert [file.name for file in tmp_path.iterdir()] == ["q.unfinished"]
    blocks = len(list((tmp_path / "q.unfinished").iterdir()))
    assert blocks >= 1
    said, few = [], Calibration(samples=4, length=32)
    quantize_model(model, "w4a8-gptq-dint4z", out, few, say=said.append)
    assert said == [f"{out}.unfinished has {blocks} finished blocks: going on behind them"]
    quantize_model(model, "w4a8-gptq-dint4z", tmp_path / "whole", few, say=said.append)
    assert len(said) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["q", "whole"]
    files = sorted(file.name for file in out.iterdir())
    assert "model.safetensors" in files
    for name in files:
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
