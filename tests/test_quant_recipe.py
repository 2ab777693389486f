"""Recipes: presets, files, and what is said about wrong ones."""

import pytest

from macsmith.quant.presets import PRESETS
from macsmith.quant.recipe import Accumulator, Activations, Recipe, Weights
from macsmith.sim.catalog import FORMATS

LINE = """
version = 1
[weights]
format = "dint4"
"""
GPTQ = LINE + "[[steps]]\nmethod = 'gptq'\n"


def test_presets_have_the_promised_names():
    for name in (
        "w8a8-rtn",
        "w4a8-rtn-int4",
        "w4a8-rtn-dint4",
        "w4a8-rtn-int4z",
        "w4a8-rtn-dint4z",
        "w3a8-rtn-dint3",
    ):
        recipe = Recipe.get(name)
        assert recipe.name == name
        assert f"w{recipe.spec().weights.width}a8-rtn" in name
    assert Recipe.get("w8a8-rtn").spec().weights.name == "int8"


@pytest.mark.parametrize(
    ("chain", "formats"),
    [
        # Table 9, c/s = 1/2, 1/4 and 1/8, and Table 10, each in both forms of the format.
        ("w4a8v4-aqas-gptq", ("dint4z", "dint4z_c4", "dint4z_c8", "dint4", "dint4_c4", "dint4_c8")),
        ("w3a8v3-rtn", ("dint3z", "int3z", "dint3", "int3")),
        ("w3a8v3-aqas-gptq", ("dint3z", "int3z", "dint3", "int3")),
    ],
)
def test_tables_9_and_10_are_presets(chain, formats):
    """Weights and values in the named format; keys, queries and probabilities in 8 bits."""
    for fmt in formats:
        recipe = Recipe.get(f"{chain}-{fmt}")
        assert recipe.weights.format == recipe.attention.value.format == fmt
        assert recipe.attention.key.format == "int8z"
        assert {spec.activations.name for spec in (recipe.spec(), *recipe.attention_specs())} == {
            "int8"
        }
        assert [step.method for step in recipe.steps] == chain.split("-")[1:]


def test_every_preset_is_valid_and_survives_a_file(tmp_path):
    for name in PRESETS:
        recipe = Recipe.get(name)
        if recipe.weights.format == "dint4":
            recipe.save(tmp_path / "r.toml")
            assert Recipe.get(tmp_path / "r.toml") == recipe


def test_no_sum_of_a_preset_overflows():
    for name in PRESETS:
        recipe = Recipe.get(name)
        specs = [recipe.spec(), *(recipe.attention_specs() if recipe.attention else ())]
        for spec in specs:
            assert spec.depth_width(2**16) <= spec.acc_width, name
    assert Recipe.get("w4a8-rtn-dint4").accumulator.width == 32  # no wider than the paper's


def test_weights_alone_need_no_accumulator(tmp_path):
    """Formats too wide for 32 bits of sums; with attention quantized, its sums need one."""
    text = '[weights]\nformat = "fp8_e5m2"\n[activations]\nscheme = "float"\n'
    file = tmp_path / "r.toml"
    file.write_text(text)
    assert Recipe.get(file).spec() == Recipe.get("w8a16-rtn-fp8_e5m2").spec()
    file.write_text(text + "[accumulator]\nwidth = 24\n[attention]\n")
    assert [spec.acc_width for spec in Recipe.get(file).attention_specs()] == [24, 24]
    file.write_text(text.partition("[act")[0])
    with pytest.raises(ValueError, match="32 bits cannot hold one fp8_e5m2 x int8 product of 40"):
        Recipe.get(file)


def test_every_format_of_the_catalogue_has_presets():
    for fmt in FORMATS.values():
        for name in (f"w{fmt.width}a8", f"w{fmt.width}a8v{fmt.width}", f"w{fmt.width}a16"):
            assert f"{name}-rtn-{fmt.name}" in PRESETS


def test_presets_name_their_steps():
    methods = [step.method for step in Recipe.get("w4a8-aqas-gptq-dint4").steps]
    assert methods == ["aqas", "gptq"]


def test_a_preset_for_weights_only_leaves_activations_in_float():
    recipe, other = Recipe.get("w4a16-awq-gptq-int4"), Recipe.get("w4a8-awq-gptq-int4")
    assert recipe.activations == Activations(scheme="float")
    assert other.activations.quantized
    same = recipe.model_copy(update={"activations": other.activations, "name": other.name})
    assert same == other


def test_defaults_are_the_papers():
    recipe = Recipe.get("w4a8-rtn-dint4z")
    assert recipe.activations.scheme == "token-asymmetric"
    assert recipe.weights.group_size == 0
    assert recipe.weights.extend_to_zero
    assert recipe.ignore == ("lm_head",)


def test_save_and_load_give_the_same_recipe(tmp_path):
    recipe = Recipe(
        name='a "name"\\ with\nall',
        weights=Weights(format="dint3", group_size=64, divisor="full"),
        accumulator=Accumulator(width=20, overflow="saturate", lanes=4),
        ignore=("lm_head", "*.fc1"),
    )
    recipe.save(tmp_path / "r.toml")
    assert Recipe.get(tmp_path / "r.toml") == recipe


def test_a_file_gets_its_stem_as_name_and_finds_formats_beside_it(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nwidth = 2\nfrac_bits = 0\nlevels = [0, 1, -2, -1]\n'
    )
    (tmp_path / "r.toml").write_text(
        'version = 1\n[weights]\nformat = "mine.toml"\n[attention.value]\nformat = "mine.toml"\n'
    )
    recipe = Recipe.get(str(tmp_path / "r.toml"))
    assert recipe.name == "r"
    for spec in (recipe.spec(), recipe.attention_specs()[1]):
        assert spec.weights.levels == (0, 1, -2, -1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINE.replace("[weights]", "colour = 1\n[weights]"), "unknown key 'colour'$"),
        (LINE + "groupsize = 64\n", "unknown key 'weights.groupsize'$"),
        (LINE.replace("= 1", "= 2"), "version: Input should be 1, not 2$"),
        (LINE.replace("= 1", "= true"), "version: wanted 1, not True$"),
        (LINE.replace("= 1", "= 1.0"), r"version: wanted 1, not 1\.0$"),
        (GPTQ + "damping = true\n", "damping: Input should be a valid number, not True$"),
        (GPTQ + "damping = '0.1'\n", "damping: Input should be a valid number, not '0.1'$"),
        ("version = 1\n", "weights: Field required$"),
        (LINE.replace("weights", "weigths"), "unknown key 'weigths'$"),
        (
            LINE.replace("dint4", "dint4z") + "divisor = 'full'\n",
            "weights.divisor 'full' is for formats without a zero point, not 'dint4z'",
        ),
        (
            LINE + "extend_to_zero = false\n",
            "weights.extend_to_zero False is for formats with a zero point, not 'dint4'",
        ),
        (
            LINE + "[attention.value]\nformat = 'dint4'\nsteps = 'levels'\n",
            "attention.value.steps 'levels' is for formats with a zero point, not 'dint4'",
        ),
        (
            LINE + "[activations]\ndivisor = 'mean'\n",
            "activations.divisor 'mean' is for scheme 'token-symmetric', not 'token-asymmetric'",
        ),
        (LINE.replace("dint4", "dint5"), "unknown format 'dint5'; the nearest is"),
        (LINE + "group_size = -1\n", "weights.group_size: .* greater than or equal to 0, not -1$"),
        (LINE + "[accumulator]\nwidth = 8\n", "accumulator of 8 bits cannot hold one dint4 x int8"),
        (
            LINE + "[activations]\nformat = 'fp8_e4m3'\n",
            "needs a two's-complement format, not 'fp8_e4m3'",
        ),
        (
            LINE + "[attention.activations]\nscheme = 'float'\n",
            "attention.activations.scheme is 'float': leave attention out of the recipe$",
        ),
        (LINE + "[[steps]]\n", "steps.0: method is missing: wanted one of rtn, smoothquant, "),
        (
            LINE + "[[steps]]\nmethod = 'magic'\n",
            "steps.0: method 'magic': wanted one of rtn, smoothquant, awq, ",
        ),
        (
            LINE + "[[steps]]\nmethod = 'gptq'\ndamping = 0\n",
            "steps.0.gptq.damping: Input should be greater than 0",
        ),
        (LINE + "[[steps]]\nmethod = 'awq'\n", "wanted one that rounds .*; got awq$"),
        (
            LINE + "[[steps]]\nmethod = 'gptq'\n[[steps]]\nmethod = 'rtn'\n",
            "wanted one that rounds .*, the last but for corrections; got gptq, rtn$",
        ),
        (
            LINE + "[[steps]]\nmethod = 'bias-correction'\n[[steps]]\nmethod = 'rtn'\n",
            "wanted one that rounds .*; got bias-correction, rtn$",
        ),
        ("steps = []\n" + LINE, "steps: wanted at least one"),
        ("weights = 3\nversion = 1\n", "weights: "),
        ("version =", "not a TOML file"),
    ],
)
def test_wrong_files_are_refused_in_one_line(tmp_path, text, message):
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Recipe.get(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


STEP = LINE + "[[steps]]\nmethod = "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LINE + "[activations]\nscheme = 'float'\nformat = 'int4'\n",
         "activations.format 'int4' is for activations with codes, not scheme 'float'"),
        (LINE + "[activations]\nscheme = 'float'\n[accumulator]\noverflow = 'exact'\n",
         "accumulator.overflow 'exact' is for sums of codes, and activations.scheme is 'float'"),
        ("prefix = 'float'\n" + LINE, "prefix 'float' is for steps that are calibrated"),
        (STEP + "'awq'\nclip = false\nclip_skip = ['fc1']\n[[steps]]\nmethod = 'rtn'\n",
         r"steps.0.awq.clip_skip \('fc1',\) is for clip = true"),
        (STEP + "'aqas'\nclip = false\nclip_skip = []\n[[steps]]\nmethod = 'rtn'\n",
         r"steps.0.aqas.clip_skip \(\) is for clip = true"),
        (STEP + "'atq'\nrule = 'median'\nquantile = 0.5\n[[steps]]\nmethod = 'gptq'\n",
         "steps.0.atq.quantile 0.5 is for rule 'quantile', not 'median'"),
        (GPTQ + "group_scales = 'updated'\n",
         "steps.0.gptq.group_scales 'updated' is for groups, and weights.group_size is 0"),
        (LINE + "group_size = 8\n[[steps]]\nmethod = 'gptq'\norder = 'activation'\n"
         "group_scales = 'updated'\n", "'updated' is for order 'index', not 'activation', where"),
        (STEP + "'daq'\nepochs = 0\nrate = 7.0\n",
         "steps.0.daq.rate 7.0 is for epochs, and epochs is 0"),
        (STEP + "'gwq'\nfraction = 0.0\nvalues = 'float32'\n",
         "steps.0.gwq.values 'float32' is for weights that are kept, and fraction is 0"),
    ],
)  # fmt: skip
def test_options_without_effect_are_refused_and_without_them_it_loads(tmp_path, text, message):
    file = tmp_path / "idle.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=f"{message}.*: leave it out$"):
        Recipe.get(file)
    name = message.split()[0].rpartition(".")[2] if message[0] != "'" else "group_scales"
    before, _, after = text.rpartition(f"{name} =")
    file.write_text(before + after.partition("\n")[2])
    recipe = Recipe.get(file)
    recipe.save(tmp_path / "again.toml")
    assert Recipe.get(tmp_path / "again.toml") == recipe.model_copy(update={"name": "idle"})


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"^unknown recipe 'w4a8-rtm-dint4'; the nearest is 'w4a8-rtn-dint4'"
    ):
        Recipe.get("w4a8-rtm-dint4")
    with pytest.raises(ValueError, match="cannot read this recipe: No such file"):
        Recipe.get("nowhere.toml")
