import json

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.scoring.sample_scores import PictureScores, SampleScores
from headimpact.scoring.stability import Stability, judge_looks, plan_looks

IDS = [f"p{number}" for number in range(100)]


def samples(values, *, skipped=(), sees=None):
    """Make the shards' content from scores by picture, layer and head."""
    shape = values.shape[1:]
    pictures = [
        PictureScores(
            image_id=image_id,
            own=own.astype(np.float32),
            donors=np.zeros((0, *shape), dtype=np.float32),
            donor_ids=(),
            sees_image=(np.isfinite(own) if sees is None else sees).astype(np.float32),
        )
        for image_id, own in zip(IDS, values, strict=False)
        if image_id not in skipped
    ]
    return SampleScores.from_pictures(pictures, skipped=dict.fromkeys(skipped, "no_caption"))


def noisy(means, *, count=100, spread=0.05, seed=1):
    generator = np.random.default_rng(seed)
    return np.array(means)[:, None] + generator.normal(0, spread, (count, len(means), 2))


@pytest.mark.parametrize(
    ("pictures", "expected"),
    [(1, (1,)), (32, (32,)), (33, (32, 33)), (128, (32, 64, 128)), (500, (32, 64, 128, 256, 500))],
)
def test_looks_double_up_to_all_pictures(pictures, expected):
    assert plan_looks(pictures) == expected


def test_a_clear_choice_is_stable_at_the_first_look():
    looks = judge_looks(samples(noisy([0.2, 0.6, 0.3])), IDS, planned=(32, 64, 100), k=1)
    assert [look.pictures for look in looks] == [32, 64, 100]
    assert all(look.layers == (1,) and look.is_stable and not look.tied for look in looks)
    assert looks[-1].rank_correlation == pytest.approx(1.0)
    assert looks[-1].overlap == 1.0


def test_a_tie_is_named_and_not_stable():
    looks = judge_looks(samples(noisy([0.5, 0.1, 0.5])), IDS, planned=(32, 64, 100), k=1)
    assert {look.tied for look in looks} == {(0, 2)}
    assert not any(look.is_stable for look in looks)
    assert looks[0].regret_bound > looks[-1].regret_bound > 0.02


def test_more_looks_planned_make_each_stricter():
    made = samples(noisy([0.5, 0.1, 0.5]))
    one, many = (judge_looks(made, IDS, planned=planned, k=1)[0] for planned in [(32,), (32, 64, 100)])
    assert many.regret_bound > one.regret_bound


def test_a_look_is_the_same_when_more_pictures_are_there():
    values = noisy([0.5, 0.1, 0.5, 0.4])
    early = judge_looks(samples(values[:64]), IDS[:64], planned=(32, 64, 100), k=2)
    late = judge_looks(samples(values), IDS, planned=(32, 64, 100), k=2)
    for first, second in zip(early, late, strict=False):
        assert (first.layers, first.tied, first.regret_bound) == (second.layers, second.tied, second.regret_bound)


def test_skipped_pictures_were_drawn_but_say_nothing():
    looks = judge_looks(samples(noisy([0.2, 0.6]), skipped=IDS[:5]), IDS, planned=(32,), k=1)
    assert [(look.pictures, look.scored) for look in looks] == [(32, 27)]


def test_layers_without_a_score_are_not_chosen_and_no_look_is_made_where_none_is_left_to_choose():
    values = noisy([0.2, 0.9, 0.4, 0.3])
    values[:, 1] = np.nan
    looks = judge_looks(samples(values), IDS, planned=(32, 100), k=1)
    assert [look.layers for look in looks] == [(2,), (2,)]
    assert judge_looks(samples(values), IDS, planned=(32,), k=3) == ()
    assert judge_looks(samples(values[:1]), IDS[:1], planned=(1,), k=1) == ()


def test_the_file_holds_everything(tmp_path):
    looks = judge_looks(samples(noisy([0.5, 0.1, 0.5])), IDS, planned=(32, 100), k=1)
    made = Stability(score="auroc", k=1, pictures=100, planned=(32, 100), until_stable=True, looks=looks)
    made.write(tmp_path)
    assert Stability.read(tmp_path) == made
    content = json.loads((tmp_path / "stability.json").read_text())
    assert (content["regret"], content["confidence"], content["stable_at"]) == (0.02, 0.95, None)
    del content["looks"][0]["tied"]
    (tmp_path / "stability.json").write_text(json.dumps(content))
    with pytest.raises(DataFormatError, match=r"'tied'.*score the model again"):
        Stability.read(tmp_path)
