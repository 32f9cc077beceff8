from pathlib import Path

import pytest

from lossrt.errors import InputError
from lossrt.recipe import Finetune, load_recipe, parse_recipe, prediction_name, preset_names, preset_text, with_steps
from tests.validators.samples import recipe_of

TEXT = preset_text("mot17")


def refusal(text: str, **changes: object) -> str:
    with pytest.raises(InputError) as caught:
        parse_recipe(text, where="mine.toml", **changes)
    message = str(caught.value)
    assert message.startswith("recipe 'mine.toml': ")
    return message.removeprefix("recipe 'mine.toml': ")


def test_mot17_is_the_source_articles() -> None:
    recipe = load_recipe("mot17")
    assert recipe.sizes == {"B": 10, "C": 1, "H": 136, "W": 240, "M": 256}
    assert recipe.heads == {"hm": 1, "reg": 2, "wh": 2, "tracking": 2, "ltrb_amodal": 4}
    assert recipe.weights == {"hm": 1, "reg": 1, "wh": 0.1, "tracking": 1, "ltrb_amodal": 0.1}
    assert recipe.active_heads == tuple(recipe.heads)
    assert recipe.num_stacks == 1


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_under_its_own_name(name: str) -> None:
    assert load_recipe(name).name == name


def test_a_copied_file_loads_by_path_and_takes_changes(tmp_path: Path) -> None:
    copied = tmp_path / "mine.toml"
    copied.write_text(TEXT.replace("batch = 10", "batch = 4"))
    assert load_recipe(str(copied)).batch == 4
    assert load_recipe(str(copied), batch=7, input=(64, 128)).sizes["H"] == 16
    assert load_recipe(str(copied), batch=7).batch == 7


def test_a_recipe_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("mot17").batch = 3


def test_weight_0_takes_a_head_out() -> None:
    recipe = recipe_of(weights={"hm": 1.0, "reg": 0.0, "wh": 0.1, "tracking": 0, "ltrb_amodal": 0.1})
    assert recipe.active_heads == ("hm", "wh", "ltrb_amodal")


def test_prediction_names() -> None:
    assert [prediction_name("hm", stack) for stack in range(3)] == ["pred_hm", "pred_hm_stack1", "pred_hm_stack2"]


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"recipe 'mot71': no such preset or file; did you mean 'mot17'\? valid: "):
        load_recipe("mot71")


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"recipe '.*absent\.toml': no such file; valid: centernet_ctdet, "):
        load_recipe(str(tmp_path / "absent.toml"))
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8")
    with pytest.raises(InputError, match=r"no such file; did you mean '.*mine\.toml'\? valid: .*mine\.toml"):
        load_recipe(str(tmp_path / "mien.toml"))
    with pytest.raises(InputError, match=r"no such file; did you mean the preset 'mot17'\?"):
        load_recipe(str(tmp_path / "mot17.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="expected a readable TOML file"):
        load_recipe(str(tmp_path / "folder.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="expected a readable TOML file"):
        load_recipe(str(tmp_path / "binary.toml"))


def test_not_toml() -> None:
    assert refusal("heads = [").startswith("not valid TOML: ")


def edited(old: str, new: str) -> str:
    assert TEXT.count(old) == 1, old
    return TEXT.replace(old, new)


MISTAKES = {
    "unknown-key": (
        edited("num_stacks", "num_stack"),
        "unknown key 'num_stack'; did you mean 'num_stacks'? valid: activation, batch, classes, ",
    ),
    "missing-key": (edited("batch = 10", ""), "key 'batch': expected, but missing"),
    "wrong-type": (
        edited("classes = 1", 'classes = "many"'),
        "key 'classes': Input should be a valid integer, got 'many'",
    ),
    "no-class": (
        edited("classes = 1", "classes = 0"),
        "key 'classes': Input should be greater than or equal to 1, got 0",
    ),
    "no-slots": (
        edited("max_objs = 256", "max_objs = 0"),
        "key 'max_objs': Input should be greater than or equal to 1",
    ),
    "no-batch": (edited("batch = 10", "batch = -1"), "key 'batch': Input should be greater than or equal to 1, got -1"),
    "name": (edited('"mot17"', '"../mot"'), "key 'name': String should match pattern"),
    "input-of-one": (edited("[544, 960]", "[544]"), "key 'input.1': expected, but missing"),
    "input-not-divisible": (
        edited("[544, 960]", "[544, 962]"),
        "input: expected multiples of down_ratio=4, got [544, 962]",
    ),
    "input-too-small": (
        edited("[544, 960]", "[0, 960]"),
        "key 'input.0': Input should be greater than or equal to 1, got 0",
    ),
    "input-too-large": (
        edited("[544, 960]", "[544, 40000]"),
        "key 'input.1': Input should be less than or equal to 32768",
    ),
    "truth-for-a-number": (
        edited("classes = 1", "classes = true"),
        "key 'classes': Input should be a valid integer, got True",
    ),
    "family": (
        edited("num_stacks", 'family = "centrnet"\nnum_stacks'),
        "key 'family': unknown value 'centrnet'; did you mean 'centernet'? valid: ",
    ),
    "step": (
        edited('"full.sgd"', '"full.sdg"'),
        "key 'finetune.steps.0': unknown value 'full.sdg'; did you mean 'full.sgd'? valid: ",
    ),
    "stacks-and-steps": (
        edited("num_stacks = 1", "num_stacks = 2"),
        "finetune.steps: 'full.sgd': expected num_stacks = 1, got 2",
    ),
    "code-weights": (
        edited("num_stacks", "code_weights = [1.0]\nnum_stacks"),
        "code_weights: expected only beside a head 'anno_box'",
    ),
    "unknown-head": (
        edited("tracking = 2", "trackin = 2"),
        "heads.trackin: unknown head; did you mean 'tracking'? valid: ",
    ),
    "channels": (edited("ltrb_amodal = 4", "ltrb_amodal = 2"), "heads.ltrb_amodal: expected 4 channels, got 2"),
    "heatmap-channels": (edited("classes = 1", "classes = 3"), "heads.hm: expected 3 channels, got 1"),
    "weight-missing": (
        edited("reg = 1.0", ""),
        "weights.reg: expected one for head 'reg', but missing",
    ),
    "weight-without-head": (
        edited("reg = 1.0", "reg = 1.0\ndep = 1.0"),
        "weights.dep: no such head; valid: hm, ",
    ),
    "weight-misspelt": (
        edited("tracking = 1.0", "trakcing = 1.0"),
        "weights.trakcing: no such head; did you mean 'tracking'? valid: tracking; weights.tracking: expected one",
    ),
    "weight-past-float32": (
        edited("wh = 0.1", "wh = 1e39"),
        "weights.wh: expected a finite weight >= 0 that float32 holds",
    ),
    "weight-below-float32": (
        edited("wh = 0.1", "wh = 1e-40"),
        "weights.wh: expected a finite weight >= 0 that float32 holds",
    ),
    "weight-negative": (
        edited("wh = 0.1", "wh = -0.1"),
        "weights.wh: expected a finite weight >= 0 that float32 holds, got -0.1",
    ),
    "weight-nan": (
        edited("wh = 0.1", "wh = nan"),
        "weights.wh: expected a finite weight >= 0 that float32 holds, got nan",
    ),
    "weight-infinite": (
        edited("wh = 0.1", "wh = inf"),
        "weights.wh: expected a finite weight >= 0 that float32 holds, got inf",
    ),
    "activation-value": (
        edited('hm = "raw"', 'hm = "sigmoid"'),
        "key 'activation.hm': unknown value 'sigmoid'; valid: applied, raw",
    ),
    "activation-of-reg": (
        edited('hm = "raw"', 'reg = "applied"'),
        "activation.reg: this head has no activation; ",
    ),
    "activation-of-no-head": (
        edited('hm = "raw"', 'hmm = "applied"'),
        "activation.hmm: this head has no activation; did you mean 'hm'? valid: ",
    ),
    "heatmap-without-weight": (
        edited("hm = 1.0", "hm = 0.0"),
        "heads.hm: expected with a weight > 0, since its index and mask serve every head",
    ),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_explained(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_all_mistakes_are_said_at_once() -> None:
    message = refusal(edited("batch = 10", "batc = 10").replace("classes = 1", "classes = 0"))
    assert "key 'classes': " in message
    assert "key 'batch': expected, but missing" in message
    assert "unknown key 'batc'; did you mean 'batch'?" in message


def test_changes_are_checked_as_well() -> None:
    assert refusal(TEXT, batch=0) == "key 'batch': Input should be greater than or equal to 1, got 0"
    assert refusal(TEXT, classes=2) == "heads.hm: expected 2 channels, got 1"


@pytest.mark.parametrize(
    ("line", "wrong", "said"),
    [
        ('steps = ["full.sgd"]', 'steps = ["full.rmsprop"]', "key 'finetune.steps.0'"),
        ("momentum = 0.9", "momentum = 0", "key 'finetune.momentum': Input should be greater than 0"),
        ("eps = 1e-8", "eps = 0.0", "key 'finetune.eps'"),
        ("clip_norm = 0.0", "clip_norm = -1", "key 'finetune.clip_norm'"),
        ("clip_norm = 0.0", "clipnorm = 1.0", "unknown key 'finetune.clipnorm'; did you mean 'clip_norm'?"),
    ],
    ids=["step", "momentum", "epsilon", "clipping", "unknown key"],
)
def test_the_finetune_table_is_checked(line: str, wrong: str, said: str) -> None:
    assert line in TEXT
    assert said in refusal(TEXT.replace(line, wrong))


def test_steps_replace_those_of_the_table() -> None:
    recipe = with_steps(load_recipe("mot17", finetune={"clip_norm": 2.0}), ["last.sgd", "last.sgd"])
    assert recipe.finetune == Finetune(steps=("last.sgd",), clip_norm=2.0)


@pytest.mark.parametrize("changes", [{"num_stacks": 2}, {"heads": {"hm": 1, "id": 8}}], ids=["stacks", "identities"])
def test_a_step_that_no_export_could_write_is_refused_at_once(changes: dict[str, object]) -> None:
    more = {"weights": {"hm": 1.0, "id": 1.0}, "identities": 5, "family": "fairmot"} if "heads" in changes else {}
    recipe = load_recipe("mot17", **changes, **more, finetune=None)
    with pytest.raises(InputError, match=r"finetune\.steps: 'last\.sgd': expected"):
        with_steps(recipe, ["last.sgd"])


@pytest.mark.parametrize("text", [preset_text("fairmot").replace("identities = 546", "identities = 2")])
def test_two_identities_have_no_scale(text: str) -> None:
    assert refusal(text).startswith("key 'identities': Input should be greater than or equal to 3, got 2")
