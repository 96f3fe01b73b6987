"""Sensitivity: how far the ranking of heads and layers moves with the choices that the method leaves open.

What needs no other run of the model shares one: rules that make attention a region, which rows speak for a token and
how they are put together, and how heads are put together to layers. Other prompts, and the model's own answers in place
of the captions, are runs of their own. What every variant gives for some pictures is a shard: a stopped run goes on.
"""

import dataclasses
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.provenance import hash_texts
from headimpact.core.shapes import ImageHeadValues
from headimpact.core.shards import missing_indices, read_arrays, shard_path, write_arrays
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.scoring.aggregation import mean_over_pictures
from headimpact.scoring.head_impact import RULES
from headimpact.scoring.sensitivity import SENSITIVITY_FILE, Sensitivity, Variant, compare_variants
from headimpact.selection.budget import default_layer_count
from headimpact.workflows.answers import print_answer
from headimpact.workflows.dataset import prompt_for, read_split, write_split
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.opening import check_model, open_model
from headimpact.workflows.run_folder import find_run, started_run, write_provenance
from headimpact.workflows.sensitivity_configs import SensitivityConfig
from headimpact.workflows.stopping import check_choice, split_samples

if TYPE_CHECKING:
    from headimpact.models.batching import BatchSize
    from headimpact.models.loading import LoadedModel

WORDINGS = ("Describe the picture.", "What do you see in this picture?", "Write a caption for this picture.")
"""Prompts that are tried where none is given."""

LAYER_RULES = ("max", "top-2")
"""Ways to put heads together that are tried beside the mean."""

DEFAULT = "default"

SCHEMA, SAMPLES_FOLDER, ARRAYS = "variant_samples/1", "samples", ("own", "sees_image")

Measured = tuple[ImageHeadValues, ImageHeadValues]
"""Scores of every picture and head, NaN rows for pictures that say nothing; share of rows that see the picture."""

Pass = tuple[str, bool, Mapping[str, MeasurementOptions]]
"""Of one run of the model: the prompt, whether its own answers look in place of the captions, and the variants."""


def sensitivity_command(config: SensitivityConfig) -> None:
    """Measure every variant on the same pictures and write `sensitivity.json`.

    Raises:
        OptionError: If a number is below 1.
        HeadImpactError: If an input is wrong or no picture says anything.
    """
    for name in ("k", "batch_size", "shard_size", "max_new_tokens"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {value}; expected 1 or more.")
    if find_run(config, done_file=SENSITIVITY_FILE) and not config.dry_run:
        _print(Sensitivity.read(config.out), config, note=f"finished already: {config.out}")
        return
    dataset = read_split(config, split=config.split, seed=config.seed)
    prompts = _prompts(config, dataset)
    if config.dry_run:
        check_model(config)
        default, *names = (name for _, _, variants in _passes(prompts) for name in variants)
        names = [default, *(f"layer_aggregation={rule}" for rule in LAYER_RULES), *names]
        lines = ["dry run, nothing was written", f"pictures: {len(dataset)}", *names]
        print_answer(lines, {"pictures": len(dataset), "variants": names}, as_json=config.json)
        return
    loaded = open_model(config)
    check_choice(config.k, layers=len(loaded.architecture.attention_layers))
    with started_run(config, work=(f"{SAMPLES_FOLDER}/shard_*",)):
        found = measure_sensitivity(loaded, dataset, config=config)
        write_split(config.out, dataset, split=config.split)
        write_provenance(config.out, command="sensitivity", seed=config.seed, data_fingerprint=dataset.fingerprint)
        found.write(config.out)
    _print(found, config)


def measure_sensitivity(loaded: "LoadedModel", dataset: KeyObjectDataset, *, config: SensitivityConfig) -> Sensitivity:
    """Score the same pictures under every variant, one option away from the default at a time.

    Shards that are in the run's folder already are not made again.

    Args:
        loaded: The model.
        dataset: The pictures.
        config: Options; `out` is the run's folder, claimed already.

    Returns:
        How far the rankings agree, on the pictures that say something under every variant.

    Raises:
        HeadImpactError: If the model cannot be scored.
        DataFormatError: If no picture says something under every variant.
    """
    from headimpact.workflows.head_measurement import check_on_sample

    prompts = _prompts(config, dataset)
    check_on_sample(loaded, dataset[0], dataset[0].captions[0], prompt=prompts[0])
    measured = _measure_all(loaded, dataset, _passes(prompts), config=config)
    common = np.all([~np.isnan(values).all(axis=(1, 2)) for values, _ in measured.values()], axis=0)
    if not common.any():
        shutil.rmtree(config.out / SAMPLES_FOLDER)  # nothing in it is worth keeping
        raise DataFormatError(
            "No picture says something under every variant. Expected at least one whose key object is seen and does "
            "not fill it, and that the model answers; check the masks with headimpact dataset validate."
        )
    architecture = loaded.architecture
    return _compare(
        {name: (values[common], sees[common]) for name, (values, sees) in measured.items()},
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
    """Average over the pictures and hold the rankings against each other."""
    images = len(measured[DEFAULT][0])
    heads = {name: mean_over_pictures(values, sees) for name, (values, sees) in measured.items()}
    default, *others = heads
    variants = {default: Variant(heads[default])}
    variants |= {f"layer_aggregation={rule}": Variant(heads[default], rule) for rule in rules}
    variants |= {name: Variant(heads[name]) for name in others}
    return compare_variants(variants, k=k, images=images, options=options)


def _measure_all(
    loaded: "LoadedModel", dataset: KeyObjectDataset, passes: Sequence[Pass], *, config: SensitivityConfig
) -> dict[str, Measured]:
    """Measure the pictures of the missing shards under every variant, then read all shards."""
    from headimpact.models.batching import BatchSize

    batch_size = BatchSize(config.batch_size)
    folder, blocks = config.out / SAMPLES_FOLDER, split_samples(dataset.samples, config.shard_size)
    names = [name for _, _, variants in passes for name in variants]
    identity = {
        **loaded.describe(),
        "variants": names,
        "prompt": passes[0][0],
        "image_ids": dataset.fingerprint,
        "texts": hash_texts(f"{sample.captions[0]};" for sample in dataset),
        "max_new_tokens": config.max_new_tokens,
        "batch_size": config.batch_size,
        "shard_size": config.shard_size,
    }
    missing = missing_indices(folder, len(blocks), schema=SCHEMA, identity=identity)
    remaining = sum(len(blocks[index]) for index in missing)
    with tqdm(total=remaining, desc="sensitivity", unit="picture", leave=False) as bar:
        for index in missing:
            found: dict[str, Measured] = {}
            for one in passes:
                found |= _measure(loaded, blocks[index], one, config=config, batch_size=batch_size)
            values, sees = zip(*(found[name] for name in names), strict=True)
            arrays = dict(zip(ARRAYS, (np.stack(values), np.stack(sees)), strict=True))
            record = {"image_ids": [sample.image_id for sample in blocks[index]]}
            write_arrays(shard_path(folder, index), arrays, schema=SCHEMA, identity=identity, record=record)
            bar.update(len(blocks[index]))
    parts = [read_arrays(shard_path(folder, index), ARRAYS, schema=SCHEMA) for index in range(len(blocks))]
    own, seen = (np.concatenate([part[name] for part in parts], axis=1) for name in ARRAYS)
    return dict(zip(names, zip(own, seen, strict=True), strict=True))


def _measure(
    loaded: "LoadedModel",
    samples: Sequence[Sample],
    one: Pass,
    *,
    config: SensitivityConfig,
    batch_size: "BatchSize",
) -> dict[str, Measured]:
    """Score pictures under some variants with one run of the model; empty responses say nothing."""
    from headimpact.workflows.score_shards import own_responses
    from headimpact.workflows.variant_measurement import measure_variants

    prompt, is_own, variants = one
    responses = [sample.captions[0] for sample in samples]
    if is_own:
        length = config.max_new_tokens
        responses = own_responses(loaded, samples, prompt=prompt, batch_size=config.batch_size, max_new_tokens=length)
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
        batch_size=batch_size,
    )
    for place, scored in zip(spoken, found, strict=True):
        for name, scores in zip(variants, scored, strict=False):  # nothing for a picture that is skipped
            measured[name][0][place], measured[name][1][place] = scores.own, scores.sees_image
    return measured


def _passes(prompts: Sequence[str]) -> list[Pass]:
    """List the runs of the model, the default's first."""
    default = MeasurementOptions()
    return [
        (prompts[0], False, {DEFAULT: default, **_shared_variants()}),
        (prompts[0], True, {"response=own": default}),
        *((wording, False, {f"prompt={wording}": default}) for wording in prompts[1:]),
    ]


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
    return list(dict.fromkeys((prompt, *(config.wordings or WORDINGS))))


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
