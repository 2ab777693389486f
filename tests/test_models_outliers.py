"""Outliers: there, in the same channels, and without effect on the logits."""

import pytest
import torch

from macsmith.experiments.models import MODELS, locate
from macsmith.experiments.models.outliers import FACTOR, put_outliers
from macsmith.quant.io import load_model

IDS = torch.arange(64).reshape(1, 64) * 13 % 2000


@pytest.mark.parametrize("name", MODELS)
def test_logits_stay_and_channels_stand_out(name):
    model = load_model(locate(name))
    norms = [m for n, m in model.named_modules() if "norm" in n.lower() and ".layers." in n]
    before = [norm.weight.clone() for norm in norms]
    with torch.no_grad():
        wanted = model(input_ids=IDS).logits
        channels = put_outliers(model)
        torch.testing.assert_close(model(input_ids=IDS).logits, wanted, rtol=1e-4, atol=1e-4)
    ratios = torch.stack([n.weight / b for n, b in zip(norms, before, strict=True)])
    others = [k for k in range(ratios.shape[1]) if k not in channels]
    assert len(ratios) == 8
    assert (ratios[:, channels] == FACTOR).all()
    assert (ratios[:, others] == 1).all()


def test_wrong_numbers_are_refused():
    model = load_model(locate("opt-mini"))
    with pytest.raises(ValueError, match="outliers: the factor must be a power of two from 1 on"):
        put_outliers(model, factor=3.0)
    with pytest.raises(ValueError, match="outliers: wanted 1 to 256 channels, got 257"):
        put_outliers(model, channels=257)
