import pytest

from lossrt.errors import BackendError, InputError, LossrtError, StorageError, nearest


@pytest.mark.parametrize(
    ("error", "code"), [(LossrtError, 70), (InputError, 2), (BackendError, 3), (StorageError, 74)], ids=str
)
def test_exit_codes_are_the_documented_ones(error: type[LossrtError], code: int) -> None:
    assert error.exit_code == code
    assert issubclass(error, LossrtError)


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("max_obj", ["name", "max_objs"], "did you mean 'max_objs'? valid: max_objs, name"),
        ("zebra", ["name", "batch"], "valid: batch, name"),
        ("zebra", [], "valid: "),
    ],
    ids=["near", "far", "nothing-known"],
)
def test_nearest(word: str, known: list[str], hint: str) -> None:
    assert nearest(word, known) == hint
