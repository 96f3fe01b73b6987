import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.selection.budget import default_layer_count, fill_budget, parse_budget
from tests.unit.selection.makers import architecture, qwen

QV = ("q_proj", "v_proj")  # 112 parameters per layer and rank on the tiny model, 6,400 on the real one


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("0.01%", 10),
        ("1 %", 1000),
        ("2.5%", 2500),
        (".5%", 500),
        ("100%", 100_000),
        ("204800", 204_800),
        ("204,800", 204_800),
        ("204_800", 204_800),
        ("0", 0),
    ],
)
def test_budgets_are_read(text, parameters):
    assert parse_budget(text, total_parameters=100_000) == parameters


@pytest.mark.parametrize("text", ["0.0001", "1e-4", "", "%", "-5", "0%", "101%", "5 layers", "1.5"])
def test_other_texts_are_refused(text):
    with pytest.raises(OptionError, match=r"Expected a share .* with a percent sign, such as 0.01%, or a whole number"):
        parse_budget(text, total_parameters=100_000)


@pytest.mark.parametrize(
    ("budget", "r", "k", "rank"),
    [("896", 8, 1, 8), ("1791", 8, 1, 8), ("1792", 8, 2, 8), ("895", 8, 1, 7), ("112", 8, 1, 1), ("1.8%", 4, 4, 4)],
)
def test_layers_are_added_until_the_next_would_exceed(budget, r, k, rank):
    filled = fill_budget(budget, architecture(), r=r, target_modules=QV)
    assert (filled.k, filled.r) == (k, rank)
    if rank < r:
        assert filled.notes == (f"The budget {budget} does not hold one layer at r = {r}; r was lowered to {rank}.",)
    else:
        assert filled.notes == ()


def test_the_papers_budget_on_a_true_size_model():
    assert fill_budget("204800", qwen(), r=8, target_modules=QV).k == 4
    assert fill_budget("0.01%", qwen(), r=8, target_modules=QV).k == 7


@pytest.mark.parametrize("of", [architecture(), qwen()], ids=["tiny", "3B"])
def test_too_small_a_budget_names_the_smallest_possible_one(of):
    one = sum(sum(of.projections[name]) for name in QV)
    with pytest.raises(OptionError, match=rf"one layer at r = 1 on q_proj, v_proj takes {one:,}") as error:
        fill_budget(str(one - 1), of, r=8, target_modules=QV)
    smallest = str(error.value).split("smallest possible budget is ")[1].rstrip(".")
    count, percent = smallest.split(" ")
    for budget in (count, percent.strip("()")):
        assert fill_budget(budget, of, r=8, target_modules=QV).k == 1


def test_unknown_modules_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'q_proj'"):
        fill_budget("1%", architecture(), r=8, target_modules=("q_prj",))


@pytest.mark.parametrize(("layers", "count"), [(1, 1), (2, 1), (10, 1), (11, 2), (12, 2), (24, 3), (28, 4), (36, 5)])
def test_default_number_of_layers(layers, count):
    assert default_layer_count(layers) == count
