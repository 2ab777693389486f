"""Settings that must be there before any library is loaded; the command line makes the same."""

import pytest

from macsmith.experiments import console

console.prepare_process()


@pytest.fixture
def small(monkeypatch):
    """Tiny models in the place of the embedded ones, on random text: tables of quantized models."""
    import tiny
    import torch

    from macsmith.experiments.models.outliers import put_outliers
    from macsmith.experiments.quantized import frame

    made = {"opt": tiny.opt, "llama": tiny.llama}

    def load(name):
        model = made[frame.SUBJECTS[name].family]()
        if frame.SUBJECTS[name].outliers:
            put_outliers(model, channels=2)
        return model, None

    text = torch.randint(2, 50, (6 * 32,), generator=torch.Generator().manual_seed(7))
    monkeypatch.delenv(frame.MODELS_PATH, raising=False)
    monkeypatch.setattr(frame, "_loaded", load)
    monkeypatch.setattr(frame, "_evaluation", lambda *_: (text, "random ids"))
    monkeypatch.setattr(
        frame, "_calibration", lambda name, samples, length, seed: tiny.ids(4 + seed, 16)
    )
    monkeypatch.setattr("macsmith.experiments.kept_rows.os.sched_getaffinity", lambda _: {0})
