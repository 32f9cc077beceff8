"""`lossrt export --head-step`: what it refuses before it exports anything."""

import pytest

pytest.importorskip("torch", reason="exporting needs PyTorch")


def test_an_unknown_step(run, tmp_path):
    code, _, err = run("export", "mot17", "--head-step", "full.adam", "-o", tmp_path / "bundle")
    assert code == 2
    assert "head step 'full.adam': unknown; did you mean 'full.adamw'" in err
    assert not (tmp_path / "bundle").exists()


def test_a_recipe_that_no_step_can_train(run, tmp_path):
    code, _, err = run("export", "fairmot", "--head-step", "full.sgd", "-o", tmp_path / "bundle")
    assert code == 2
    assert "'full.sgd': expected no head 'id', whose classifier no step trains" in err
    assert not (tmp_path / "bundle").exists()
