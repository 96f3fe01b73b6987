"""Later stages on every family: the right modules are tuned, and `score` runs from files to files."""

import dataclasses

import numpy as np
import transformers
from transformers.utils import is_torchvision_available

from headimpact.embedded.scenes import build_scenes
from headimpact.models.loading import load_model
from headimpact.scoring import SCORES
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.strategies import select_layers
from headimpact.tuning.lora import attached_lora, build_lora_config, count_parameters
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.scoring import score_command


def test_pictures_are_prepared_by_pillow_unless_the_family_needs_torchvision(loaded):
    """Also where torchvision is installed; where it is not, what loads does not need it and may not say so."""
    image_processor = type(loaded.processor.image_processor).__name__
    assert not hasattr(transformers, f"{image_processor}Pil")
    assert is_torchvision_available() or not loaded.family.needs_torchvision


def test_architecture_names_language_modules_alone(loaded):
    summary = loaded.family.architecture(loaded.config)
    text = loaded.config.get_text_config()
    modules = dict(loaded.model.named_modules())
    found = loaded.family.attention_modules(loaded.model)
    assert (summary.num_layers, summary.num_heads) == (text.num_hidden_layers, text.num_attention_heads)
    assert summary.total_parameters == loaded.model.num_parameters()
    assert set(found) <= set(range(summary.num_layers))
    for layer in found:
        for projection, (inputs, outputs) in summary.projections_of(layer).items():
            module = modules[summary.module_name(layer, projection)]
            assert (module.in_features, module.out_features) == (inputs, outputs)
            assert summary.module_name(layer, projection).startswith(loaded.family.layer_prefix(layer) + ".")


def test_lora_lands_on_the_chosen_layers_alone(name, tiny_checkpoint):
    loaded = load_model(tiny_checkpoint(name))
    layer = max(loaded.family.attention_modules(loaded.model))
    architecture = loaded.family.architecture(loaded.config)
    # A layer may take over keys and values of an earlier one, or use its keys as values.
    targets = tuple(name for name in ("q_proj", "v_proj") if name in architecture.projections_of(layer))
    everything = select_layers(architecture, strategy="all", target_modules=("q_proj",))
    chosen = dataclasses.replace(everything, layers=(layer,), k=1, r=2, target_modules=targets)
    with attached_lora(loaded.model, build_lora_config(chosen, r=2, target_modules=targets)) as model:
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        prefix = f"{loaded.family.layer_prefix(layer)}."
        assert trained
        assert all(prefix in name and (".q_proj." in name or ".v_proj." in name) for name in trained)
        counted = count_parameters(model)
        expected = sum(2 * sum(architecture.projections_of(layer)[name]) for name in targets)
        assert counted.trainable == expected == chosen.trainable_parameters()


def test_score_runs_from_files_to_files(name, loaded, tiny_checkpoint, tmp_path):
    build_scenes(tmp_path / "data", task="describe", counts={"calibration": 6}, seed=0)
    config = ScoreConfig(
        model=str(tiny_checkpoint(name)), data=tmp_path / "data", out=tmp_path / "run", batch_size=3, draws=200,
        bootstrap=20, donors=2, examples=1, scores="all",
    )  # fmt: skip
    score_command(config)
    scores = HeadScores.read(tmp_path / "run")
    assert scores.counts["used"] == 6
    layers = list(loaded.family.attention_modules(loaded.model))
    for score in SCORES:
        values = scores.named(score).values[score]
        assert values.shape == (scores.architecture.num_layers, scores.architecture.num_heads)
        assert np.isfinite(values[layers]).any(), score
        others = [layer for layer in range(len(values)) if layer not in layers]
        assert np.isnan(values[others]).all(), score
