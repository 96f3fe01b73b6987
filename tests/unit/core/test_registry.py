import pytest

from headimpact.core.errors import UnknownNameError
from headimpact.core.registry import Registry, unknown_name_message

TABLE = Registry("score", {"head_impact": "math:sqrt", "auroc": "math:floor"})


def test_a_name_is_imported_when_asked_for():
    import math

    assert TABLE.load("head_impact") is math.sqrt
    assert list(TABLE) == ["head_impact", "auroc"]
    assert len(TABLE) == 2


@pytest.mark.parametrize("use", [TABLE.load, TABLE.__getitem__], ids=["load", "getitem"])
def test_an_unknown_name_is_answered_with_near_ones(use):
    with pytest.raises(UnknownNameError, match=r"Unknown score 'head_imapct'. Did you mean 'head_impact'\?") as error:
        use("head_imapct")
    assert isinstance(error.value, KeyError)
    assert not str(error.value).startswith('"')


def test_no_near_name_gives_the_whole_list():
    assert unknown_name_message("metric", "xyz", ["bleu_1", "cider_d"]) == (
        "Unknown metric 'xyz'. Known: bleu_1, cider_d."
    )
