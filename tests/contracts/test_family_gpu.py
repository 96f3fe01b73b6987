"""On a GPU: what is captured is what eager attention shows, and scores are those of a CPU."""

import numpy as np
import pytest

from headimpact.attention.self_check import check_capture
from headimpact.models.batching import BatchSize
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode
from headimpact.scoring import SCORES
from headimpact.workflows.donor_masks import DonorMasks
from headimpact.workflows.head_measurement import measure_pictures
from headimpact.workflows.measurement_options import MeasurementOptions
from tests.builders import sample
from tests.contracts.image_oracle import picture
from tests.tiny_models import TINY_MODELS

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TINY_MODELS)
def test_captured_rows_are_eager_attention(tiny_checkpoint, name, dtype):
    loaded = load_model(tiny_checkpoint(name), device="cuda", dtype=dtype)
    images = [[picture((60, 90))], [picture((100, 50))]]
    batch = encode(loaded, images, ["What colour?", "Describe it."], ["a red circle", "a large square near the top"])
    check_capture(loaded, batch)  # raises where rows differ


@pytest.mark.parametrize("name", ["qwen2_vl", "idefics3", "llava_next-clip"])
def test_scores_are_those_of_a_cpu(tiny_checkpoint, tmp_path, name):
    pictures = [
        sample(tmp_path, "....", ".##.", ".##.", "....", image_id="one"),
        sample(tmp_path, "##..", "##..", "....", "....", image_id="two"),
        sample(tmp_path, "....", "....", "....", "..##", image_id="three"),
    ]
    donors = DonorMasks.of(pictures, donors=2, seed=0)
    names = tuple(SCORES)
    found = {}
    for device in ("cpu", "cuda"):
        loaded = load_model(tiny_checkpoint(name), device=device, dtype="float32")
        found[device] = measure_pictures(
            loaded,
            pictures,
            [("a red square", "it is small"), ("a square",), ("one more",)],
            prompt="Describe it.",
            donors=donors,
            options=MeasurementOptions(scores=names),
            batch_size=BatchSize(2),
        )
    for one, other in zip(found["cpu"], found["cuda"], strict=True):
        assert isinstance(one, dict), one
        assert isinstance(other, dict), other
        for score in names:
            np.testing.assert_allclose(other[score].own, one[score].own, atol=0.05, err_msg=score)
            np.testing.assert_allclose(other[score].donors, one[score].donors, atol=0.05, err_msg=score)
            assert list(other[score].baselines) == list(one[score].baselines)
            for baseline in one[score].baselines:
                np.testing.assert_allclose(other[score].baselines[baseline], one[score].baselines[baseline], atol=1e-6)
