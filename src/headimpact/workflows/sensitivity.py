"""Sensitivity: how far the ranking of heads and layers moves with the choices that the method leaves open.

What needs no other run of the model shares one: rules that make attention a region, which rows speak for a token and
how they are put together, and how heads are put together to layers. Other prompts, and the model's own answers in place
of the captions, are runs of their own.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.shapes import ImageHeadValues
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.scoring.aggregation import mean_over_pictures
from headimpact.scoring.head_impact import RULES
from headimpact.scoring.sensitivity import SENSITIVITY_FILE, Sensitivity, Variant, compare_variants
from headimpact.selection.budget import default_layer_count
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.dataset import prompt_for, read_split
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.opening import check_model, open_model
from headimpact.workflows.run_folder import find_run, started_run, write_provenance
from headimpact.workflows.sensitivity_configs import SensitivityConfig
from headimpact.workflows.stopping import check_choice

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel

WORDINGS = ("Describe the picture.", "What do you see in this picture?", "Write a caption for this picture.")
"""Prompts that are tried where none is given."""

LAYER_RULES = ("max", "top-2")
"""Ways to put heads together that are tried beside the mean."""

DEFAULT = "default"

Measured = tuple[ImageHeadValues, ImageHeadValues]
"""Scores of every picture and head, NaN rows for pictures that say nothing; share of rows that see the picture."""


def sensitivity_command(config: SensitivityConfig) -> None:
    """Measure every variant on the same pictures and write `sensitivity.json`.

    Raises:
        OptionError: If `--k` is below 1.
        HeadImpactError: If an input is wrong or no picture says anything.
    """
    if config.k is not None and config.k < 1:
        raise OptionError(f"--k is {config.k}; expected 1 or more.")
    if find_run(config, done_file=SENSITIVITY_FILE) and not config.dry_run:
        _print(Sensitivity.read(config.out), config, note=f"finished already: {config.out}")
        return
    dataset = read_split(config, split=config.split, seed=config.seed)
    prompts = _prompts(config, dataset)
    if config.dry_run:
        check_model(config)
        names = [DEFAULT, *_shared_variants(), *(f"layer_aggregation={rule}" for rule in LAYER_RULES)]
        names += ["response=own", *(f"prompt={wording}" for wording in prompts[1:])]
        lines = ["dry run, nothing was written", f"pictures: {len(dataset)}", *names]
        print_answer(lines, {"pictures": len(dataset), "variants": names}, as_json=config.json)
        return
    loaded = open_model(config)
    check_choice(config.k, layers=len(loaded.architecture.attention_layers))
    with started_run(config, work=(SENSITIVITY_FILE,)):
        found = measure_sensitivity(loaded, dataset, config=config)
        write_provenance(config.out, command="sensitivity", seed=config.seed, data_fingerprint=dataset.fingerprint)
        found.write(config.out)
    _print(found, config)


def measure_sensitivity(loaded: "LoadedModel", dataset: KeyObjectDataset, *, config: SensitivityConfig) -> Sensitivity:
    """Score the same pictures under every variant, one option away from the default at a time.

    Args:
        loaded: The model.
        dataset: The pictures.
        config: Options.

    Returns:
        How far the rankings agree, on the pictures that say something under every variant.

    Raises:
        HeadImpactError: If the model cannot be scored.
        DataFormatError: If no picture says something under every variant.
    """
    from headimpact.workflows.head_measurement import check_on_sample
    from headimpact.workflows.score_shards import responses_for

    prompts = _prompts(config, dataset)
    samples = dataset.samples
    captions = [sample.captions[0] for sample in samples]
    check_on_sample(loaded, samples[0], captions[0], prompt=prompts[0])
    own = ScoreConfig(
        model=config.model,
        data=config.data,
        out=config.out,
        response="own",
        batch_size=config.batch_size,
        max_new_tokens=config.max_new_tokens,
    )
    answers = responses_for(loaded, samples, config=own, prompt=prompts[0])
    spoken = [texts[0] if texts else "" for texts in answers]
    default = MeasurementOptions()
    runs = [
        (prompts[0], captions, {DEFAULT: default, **_shared_variants()}),
        (prompts[0], spoken, {"response=own": default}),
        *((wording, captions, {f"prompt={wording}": default}) for wording in prompts[1:]),
    ]
    measured: dict[str, Measured] = {}
    for prompt, texts, variants in runs:
        measured |= _measure(loaded, samples, texts, prompt=prompt, variants=variants, config=config)
    architecture = loaded.architecture
    return _compare(
        measured,
        k=config.k or default_layer_count(len(architecture.attention_layers)),
        rules=[rule for rule in LAYER_RULES if architecture.num_heads > 1],
        options={
            **loaded.describe(),
            "prompt": prompts[0],
            "split": config.split,
            "limit": config.limit,
            "seed": config.seed,
        },
    )


def _compare(
    measured: Mapping[str, Measured], *, k: int, rules: Iterable[str], options: Mapping[str, object]
) -> Sensitivity:
    """Average over the pictures that all variants have and hold the rankings against each other.

    Raises:
        DataFormatError: If there is no such picture.
    """
    common = np.all([~np.isnan(values).all(axis=(1, 2)) for values, _ in measured.values()], axis=0)
    if not common.any():
        raise DataFormatError(
            "No picture says something under every variant. Expected at least one whose key object is seen and does "
            "not fill it, and that the model answers; check the masks with headimpact dataset validate."
        )
    heads = {name: mean_over_pictures(values[common], sees[common]) for name, (values, sees) in measured.items()}
    default, *others = heads
    variants = {default: Variant(heads[default])}
    variants |= {f"layer_aggregation={rule}": Variant(heads[default], rule) for rule in rules}
    variants |= {name: Variant(heads[name]) for name in others}
    return compare_variants(variants, k=k, images=int(common.sum()), options=options)


def _measure(
    loaded: "LoadedModel",
    samples: Sequence[Sample],
    responses: Sequence[str],
    *,
    prompt: str,
    variants: Mapping[str, MeasurementOptions],
    config: SensitivityConfig,
) -> dict[str, Measured]:
    """Score pictures under some variants with one run of the model; empty responses say nothing."""
    from headimpact.workflows.variant_measurement import measure_variants

    sizes = loaded.architecture
    shape = (len(samples), sizes.num_layers, sizes.num_heads)
    measured = {name: (np.full(shape, np.nan, np.float32), np.zeros(shape, np.float32)) for name in variants}
    spoken = [place for place, text in enumerate(responses) if text]
    found = measure_variants(
        loaded,
        [samples[place] for place in spoken],
        [responses[place] for place in spoken],
        prompt=prompt,
        variants=list(variants.values()),
        rows_per_batch=config.batch_size,
    )
    for place, scored in zip(spoken, found, strict=True):
        for name, scores in zip(variants, scored, strict=False):  # nothing for a picture that is skipped
            measured[name][0][place], measured[name][1][place] = scores.own, scores.sees_image
    return measured


def _shared_variants() -> dict[str, MeasurementOptions]:
    """Name the variants that one run of the model gives, the default left out."""
    default = MeasurementOptions()
    changes: list[dict[str, str]] = [{"binarization": rule} for rule in RULES if rule != default.binarization]
    changes += [{"rows": "at"}, {"row_reduction": "max"}]
    return {
        f"{option}={value}": dataclasses.replace(default, **change)  # type: ignore[arg-type]
        for change in changes
        for option, value in change.items()
    }


def _prompts(config: SensitivityConfig, dataset: KeyObjectDataset) -> list[str]:
    """List the prompt of the default and, behind it, the other wordings."""
    prompt = prompt_for(config, dataset)
    return [prompt, *(wording for wording in config.wordings or WORDINGS if wording != prompt)]


def _print(found: Sensitivity, config: SensitivityConfig, *, note: str | None = None) -> None:
    """Say how far each variant's ranking agrees with the default's."""
    width = max(map(len, found.names))
    rows = zip(found.names, found.heads[0], found.layers[0], found.overlap[0], strict=True)
    print_answer(
        [
            *([note] if note else []),
            f"pictures: {found.images}; agreement with the default: Spearman over heads, over layers, share of the "
            f"best {found.k} layers in common",
            f"{'variant':<{width}}  heads  layers  best {found.k}",
            *(f"{name:<{width}}  {heads:>5.2f}  {layers:>6.2f}  {top:>6.0%}" for name, heads, layers, top in rows),
            f"sensitivity: {config.out}",
        ],
        {
            "pictures": found.images,
            "variants": {
                name: {"heads": float(heads), "layers": float(layers), "overlap": float(top)}
                for name, heads, layers, top in zip(
                    found.names, found.heads[0], found.layers[0], found.overlap[0], strict=True
                )
            },
            "out": str(config.out),
        },
        as_json=config.json,
    )
