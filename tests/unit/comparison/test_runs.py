import dataclasses
import json

import pytest

from headimpact.comparison.runs import check_comparable, find_runs, read_run
from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from tests.unit.comparison.makers import IDENTITY, arm, run, write_run


def test_reads_what_evaluate_wrote(tmp_path):
    found = read_run(write_run(tmp_path / "r", strategy="top-k", layers=[3, 5], seed=2, used={"tuned": ["x"]}))
    assert found.arm == dataclasses.replace(arm("top-k", layers=(3, 5), seed=2), trainable_share=0.001)
    assert found.values["exact_match"] == 0.5
    assert found.used == {"tested": {"t0", "t1", "t2", "t3"}, "tuned": {"x"}, "scored": frozenset()}
    assert found.identity["tokenizer"] == "python"


def test_finds_runs_at_any_depth_once_and_names_unfinished_ones(tmp_path):
    write_run(tmp_path / "a", strategy="base")
    write_run(tmp_path / "deep" / "er" / "b")
    (tmp_path / "cut" / "predictions").mkdir(parents=True)
    unfinished = write_run(tmp_path / "cut2", draw=1)
    (unfinished / "metrics.json").unlink()
    (tmp_path / "tuned" / "adapter").mkdir(parents=True)
    found = find_runs([tmp_path, tmp_path / "a", tmp_path / "deep"])
    assert [one.path.name for one in found.runs] == ["a", "b"]
    assert [path.name for path in found.unfinished] == ["cut", "cut2"]


def test_a_folder_given_that_holds_nothing_is_unfinished(tmp_path):
    write_run(tmp_path / "a")
    (tmp_path / "b").mkdir()
    assert [path.name for path in find_runs([tmp_path / "a", tmp_path / "b"]).unfinished] == ["b"]


def test_no_finished_run_is_an_error_that_names_the_unfinished(tmp_path):
    (tmp_path / "cut" / "predictions").mkdir(parents=True)
    with pytest.raises(DataFormatError, match=r"No finished run in .*unfinished: cut\. Run headimpact evaluate"):
        find_runs([tmp_path])
    with pytest.raises(DataFormatError, match=r"Not a folder: .*nowhere"):
        find_runs([tmp_path / "nowhere"])


@pytest.mark.parametrize("value", [{}, {"strategy": "random", "layers": ["x"]}, []], ids=["empty", "layers", "list"])
def test_a_broken_arm_is_named(tmp_path, value):
    folder = write_run(tmp_path / "r")
    content = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({**content, "arm": value}))
    with pytest.raises(DataFormatError, match=r"Not an arm in .*metrics\.json"):
        read_run(folder)


PAIR = [run(arm("top-k"), [1, 0]), run(arm("random"), [0, 0])]


def with_identity(**changes):
    return run(arm("random", draw=1), [0, 0], identity={**IDENTITY, **changes})


def used(**hashes):
    return {use: frozenset(hashes.get(use, ())) for use in ("tested", "scored", "tuned")}


def test_comparable_runs_pass():
    check_comparable([*PAIR, run(arm("base"), [0, 0]), run(arm("all", layers=range(12), trainable=6000), [1, 1])])
    check_comparable([*PAIR, run(arm("random", draw=1, trainable=1010), [0, 0])])


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        pytest.param(PAIR[:1], "got 1 finished run", id="one"),
        pytest.param(
            [*PAIR, with_identity(model="other")],
            "model is 'embedded' in top-k-0-0 and 'other' in random-1-0",
            id="model",
        ),
        pytest.param([*PAIR, with_identity(revision="r2")], "revision is None", id="revision"),
        pytest.param([*PAIR, with_identity(data_fingerprint="d")], "data_fingerprint is", id="data"),
        pytest.param([*PAIR, with_identity(prompt="q")], "prompt is", id="prompt"),
        pytest.param([*PAIR, with_identity(task="where")], "task is None in .* and 'where'", id="field on one side"),
        pytest.param([*PAIR, with_identity(split="validation")], "split is", id="split"),
        pytest.param([*PAIR, with_identity(image_ids_hash="i")], "image_ids_hash is", id="pictures"),
        pytest.param([*PAIR, with_identity(tokenizer="ptb")], "tokenizer is", id="tokenizer"),
        pytest.param(
            [*PAIR, with_identity(generation={"num_beams": 3, "max_new_tokens": 48})],
            "generation.num_beams is 1 .* and 3",
            id="generation",
        ),
        pytest.param([*PAIR, PAIR[0]], "both top-k, draw 0, seed 0", id="twice"),
        pytest.param(
            [*PAIR, run(arm("random", seed=1, heads=((1, 0), (2, 3))), [0, 0])],
            "heads are .*Number the draws",
            id="heads",
        ),
        pytest.param(
            [*PAIR, run(arm("random", seed=1, layers=(4, 5)), [0, 0])], "layers are .*Number the draws", id="layers"
        ),
        pytest.param(
            [*PAIR, run(arm("random", draw=1, trainable=1011), [0, 0])],
            "trainable_parameters is 1000 in top-k-0-0 and 1011 in random-1-0; expected within 1%",
            id="budget",
        ),
        pytest.param(
            [
                run(arm("top-k"), [1, 0], used=used(tested="abcd", scored="abx", tuned="c")),
                run(arm("random"), [1, 0], used=used(tested="abcd")),
            ],
            "of 4 test pictures, 2 were scored on and 1 were tuned on in top-k-0-0",
            id="overlap",
        ),
        pytest.param(
            [*PAIR, run(arm("base"), [0, 0], used=used())], "base-0-0 does not say which pictures", id="no hashes"
        ),
    ],
)
def test_refuses_and_names_the_field(runs, message):
    with pytest.raises(IncompatibleRunsError, match=message):
        check_comparable(runs)


def test_heads_are_read_and_tell_draws_in_the_same_layers_apart(tmp_path):
    found = read_run(write_run(tmp_path / "r", layers=[1, 2], heads=[[1, 0], [2, 3]]))
    assert found.arm.chosen == {(1, 0), (2, 3)}
    assert arm("random").chosen == {1, 2}
    heads = [run(arm("random", draw=draw, heads=((1, draw), (2, 3))), [0, 1]) for draw in range(2)]
    check_comparable([run(arm("top-k", heads=((1, 2), (2, 3))), [1, 1]), *heads])
