"""Losses of pictures by gates and by knockouts, on the embedded model and its scenes."""

from typing import Any

import numpy as np
import pytest
import torch

from headimpact.attention.knockout import knock_out
from headimpact.core.errors import OptionError
from headimpact.data.formats import read_dataset
from headimpact.models.batching import BatchSize
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode
from headimpact.workflows.head_causes import (
    HeadSet,
    Silencing,
    measure_gate_gradients,
    measure_image_means,
    measure_knockouts,
    measure_losses,
    measure_naming,
)

PROMPT = "Describe the picture."


@pytest.fixture(scope="module")
def loaded():
    return load_model("embedded")


@pytest.fixture(scope="module")
def samples(scenes):
    return read_dataset(scenes).split("calibration").samples[:5]


@pytest.fixture(scope="module")
def answers(samples):
    return [sample.captions[0] for sample in samples]


def losses_of_transformers(loaded, samples, answers, heads=None) -> np.ndarray:
    """Each picture's loss, alone in its batch, as transformers computes it."""
    found = []
    for sample, answer in zip(samples, answers, strict=True):
        batch = encode(loaded, [sample.load_image()], [PROMPT], [answer])
        keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
        modules = loaded.family.attention_modules(loaded.model)
        with torch.no_grad(), knock_out(modules, heads or {0: [0]}, keys=keys if heads else [torch.tensor([0])[:0]]):
            found.append(loaded.model(**batch.inputs, labels=batch.labels).loss.item())
    return np.array(found)


def test_rises_are_differences_of_losses(loaded, samples, answers):
    num_heads = loaded.family.architecture(loaded.config).num_heads
    everything = {layer: range(num_heads) for layer in loaded.family.attention_modules(loaded.model)}
    sets: list[HeadSet] = [{2: [0, 1]}, everything]
    found = measure_knockouts(loaded, samples, answers, sets, prompt=PROMPT, batch_size=BatchSize(2))
    plain = losses_of_transformers(loaded, samples, answers)
    for index, heads in enumerate(sets):
        rise = losses_of_transformers(loaded, samples, answers, heads) - plain
        np.testing.assert_allclose(found[:, index], rise, atol=2e-4)
    assert found[:, 1].mean() > 0.5  # a model that sees nothing of the picture cannot describe it


def test_plain_losses_come_beside_the_rises(loaded, samples, answers):
    found = measure_losses(loaded, samples, answers, [{2: [0, 1]}], prompt=PROMPT, batch_size=BatchSize(2))
    np.testing.assert_allclose(found.plain, losses_of_transformers(loaded, samples, answers), atol=2e-4)


def test_silencing_the_response_alone_is_another_question(loaded, samples, answers):
    everywhere, in_response = (
        measure_knockouts(
            loaded,
            samples,
            answers,
            [{4: [0, 1, 2, 3]}],
            prompt=PROMPT,
            batch_size=BatchSize(5),
            responses_only=responses_only,
        )
        for responses_only in (False, True)
    )
    assert not np.allclose(everywhere, in_response, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_gradients_do_not_depend_on_the_batch(loaded, samples, answers, rows):
    found = measure_gate_gradients(loaded, samples, answers, prompt=PROMPT, batch_size=BatchSize(rows))
    alone = measure_gate_gradients(loaded, samples[1:2], answers[1:2], prompt=PROMPT, batch_size=BatchSize(1))
    sizes = loaded.family.architecture(loaded.config)
    assert found.shape == (5, sizes.num_layers, sizes.num_heads)
    np.testing.assert_allclose(found[1], alone[0], atol=1e-5, rtol=1e-3)


def test_layers_without_attention_to_the_picture_have_no_gradient(tiny_model, samples, answers):
    mllama = tiny_model("mllama")
    found = measure_gate_gradients(mllama, samples[:2], answers[:2], prompt=PROMPT, batch_size=BatchSize(2))
    has_attention = [layer in mllama.family.attention_modules(mllama.model) for layer in range(found.shape[1])]
    assert np.isfinite(found).all(axis=(0, 2)).tolist() == has_attention
    assert not all(has_attention)


def test_a_head_that_does_not_exist_is_refused(loaded, samples, answers):
    with pytest.raises(OptionError, match="Head 99 of layer 0"):
        measure_knockouts(loaded, samples, answers, [{0: [99]}], prompt=PROMPT, batch_size=BatchSize(2))


def test_the_mean_of_one_picture_stands_in_for_itself(loaded, samples, answers):
    """With response rows averaged over one row, the mean is what the head takes from the picture: nothing changes."""
    words: dict[str, Any] = {"prompt": PROMPT, "batch_size": BatchSize(1)}
    one = [answers[0].split()[0]]  # one word, and so one row that predicts it
    means = measure_image_means(loaded, samples[:1], one, responses_only=True, **words)
    sets: list[HeadSet] = [{layer: range(8) for layer in means}]
    kept, gone = (
        measure_losses(loaded, samples[:1], one, sets, how=Silencing(kind, True, means), **words).rises
        for kind in ("mean", "zero")
    )
    assert abs(kept).max() < 1e-4 < abs(gone).max()


def test_means_over_all_rows_do_not_depend_on_the_batch(loaded, samples, answers):
    of_three, of_one = (
        measure_image_means(loaded, samples[:3], answers[:3], prompt=PROMPT, batch_size=BatchSize(rows))
        for rows in (3, 1)
    )
    for layer, part in of_three.items():
        np.testing.assert_allclose(part, of_one[layer], atol=1e-4)


def test_knockouts_by_the_mean_need_means(loaded, samples, answers):
    words: dict[str, Any] = {"prompt": PROMPT, "batch_size": BatchSize(5), "how": Silencing("mean")}
    with pytest.raises(OptionError, match="needs means of every layer"):
        measure_losses(loaded, samples, answers, [{0: [0]}], **words)


def test_a_model_that_sees_nothing_does_not_name_the_object(loaded, samples):
    everything = {layer: range(8) for layer in loaded.family.attention_modules(loaded.model)}
    found = measure_naming(
        loaded, samples, [{0: [0]}, everything], prompt=PROMPT, batch_size=BatchSize(4), max_new_tokens=12
    )
    assert found.shape == (5, 3)
    assert set(found.ravel()) <= {0.0, 1.0}
    assert found[:, 0].mean() > found[:, 2].mean()
