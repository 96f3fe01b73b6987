"""Checks the options of `score` before anything is loaded, and says which of them decide a picture's scores."""

from typing import TYPE_CHECKING, Any

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.provenance import hash_texts
from headimpact.core.registry import unknown_name_message
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.word_kinds import KINDS, OBJECT_KINDS
from headimpact.scoring import BY_PEAKS, CAUSAL_SCORES, SCORES, WITHOUT_MASK, WITHOUT_SINKS
from headimpact.scoring.aggregation import check_layer_rule
from headimpact.scoring.stability import plan_looks
from headimpact.workflows.configs import ScoreConfig

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel
    from headimpact.workflows.measurement_options import MeasurementOptions

BASELINES = ("untrained",)
RESPONSES = ("reference", "own")
NO_OPTIONS = frozenset({"model", "revision", "adapter", "image_ids", "texts"})
"""What decides a picture's scores without being an option of the measurement."""

MANY_HEADS = 10**6
"""Stands for the number of heads while no model is there to count them."""


def check_options(config: ScoreConfig) -> None:
    """Refuse unknown names and numbers out of range before a model loads.

    Raises:
        OptionError: If an option cannot be carried out.
        UnknownNameError: If a score is unknown.
    """
    _check_names(config)
    for kind, value, known in (
        ("--response", config.response, RESPONSES),
        ("--baseline", config.baseline, (*BASELINES, None)),
    ):
        if value not in known:
            raise OptionError(unknown_name_message(kind, str(value), [name for name in known if name]))
    for name in ("batch_size", "shard_size", "captions_per_image", "donors", "bootstrap"):
        if getattr(config, name) < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(config, name)}; expected 1 or more.")
    if config.words and config.score in WITHOUT_MASK | BY_PEAKS:
        raise OptionError(
            f"--words was given with --score {config.score}, which is not one of attention maps and masks. Leave it "
            "out, or name another score, such as head_impact."
        )
    if config.examples < 0:
        raise OptionError(f"--examples is {config.examples}; expected 0 or more.")
    if config.draws is not None and config.draws < 1:
        raise OptionError(f"--draws is {config.draws}; expected 1 or more.")
    if config.max_new_tokens < 1:
        raise OptionError(f"--max-new-tokens is {config.max_new_tokens}; expected 1 or more.")
    _check_choice(config)
    measurement_options(config)


def _check_names(config: ScoreConfig) -> None:
    """Refuse scores that do not exist, or cannot be what a run is about.

    Raises:
        OptionError: If the run is to be about a causal score.
        UnknownNameError: If a score is unknown.
    """
    for name in score_names(config):
        if name not in (*SCORES, *CAUSAL_SCORES):
            raise UnknownNameError(unknown_name_message("score", name, (*SCORES, *CAUSAL_SCORES)))
    if config.score in CAUSAL_SCORES:
        raise OptionError(
            f"--score {config.score} cannot stand alone: it has no map to hold against masks. Pass --scores "
            f"{config.score} beside another --score, then headimpact select --score {config.score}."
        )


def _check_choice(config: ScoreConfig) -> None:
    """Refuse a choice of layers whose stability cannot be told.

    Raises:
        OptionError: If the number of layers is below 1, the rule for layers is unknown, or its error is.
    """
    if config.k is not None and config.k < 1:
        raise OptionError(f"--k is {config.k}; expected 1 or more.")
    check_layer_rule(config.layer_aggregation, heads=MANY_HEADS)
    if config.until_stable and config.layer_aggregation != "mean":
        raise OptionError(
            f"--until-stable was given with --layer-aggregation {config.layer_aggregation}; expected mean, whose error "
            "over pictures is known. Leave one of them out."
        )


def score_names(config: ScoreConfig) -> tuple[str, ...]:
    """List the scores that a run computes, the one it is about first; `all` are those of one forward pass."""
    further = [name.strip() for name in (config.scores or "").split(",")]
    listed = [name for part in further if part for name in (SCORES if part == "all" else (part,))]
    return tuple(dict.fromkeys((config.score, *listed)))


def measured_names(config: ScoreConfig) -> tuple[str, ...]:
    """List what a run measures: its scores, where asked for each once more without sinks, and its own by words."""
    names = score_names(config)
    apart = tuple(f"{config.score}_{kind}" for kind in (*KINDS, *OBJECT_KINDS)) if config.words else ()
    if not config.sinks:
        return (*names, *apart)
    again = tuple(f"{name}{WITHOUT_SINKS}" for name in names if name not in ("sink_share", *CAUSAL_SCORES))
    return tuple(dict.fromkeys((*names, "sink_share", *again, *apart)))


def measurement_options(config: ScoreConfig) -> "MeasurementOptions":
    """Unpack a config into what the measurement takes.

    Raises:
        OptionError: If a name is none of those known, or a number is out of range.
    """
    from headimpact.workflows.measurement_options import MeasurementOptions

    return MeasurementOptions(
        scores=tuple(name for name in measured_names(config) if name not in CAUSAL_SCORES),
        sinks=config.sinks,
        words=config.words,
        binarization=config.binarization,
        k=config.binarization_k,
        quantile=config.binarization_quantile,
        rows=config.rows,
        row_reduction=config.row_reduction,  # type: ignore[arg-type]
        view=config.view,
    )


def shard_identity(
    loaded: "LoadedModel", dataset: KeyObjectDataset, *, score: str, config: ScoreConfig, prompt: str
) -> dict[str, Any]:
    """List everything that decides one score of every picture, so that shards of another run are never mixed in."""
    return {
        "score": score,
        "model": loaded.name,
        "revision": loaded.revision,
        "adapter": None if loaded.adapter is None else str(loaded.adapter),
        "dtype": loaded.dtype_name,
        "quantization": loaded.quantization,
        "prompt": prompt,
        "image_ids": dataset.fingerprint,
        "texts": hash_texts(text for sample in dataset for text in (*sample.captions[: config.captions_per_image], "")),
        "donors": config.donors,
        "donor_seed": config.seed,
        "binarization": config.binarization,
        "binarization_k": config.binarization_k,
        "binarization_quantile": config.binarization_quantile,
        "rows": config.rows,
        "row_reduction": config.row_reduction,
        "response": config.response,
        "captions_per_image": config.captions_per_image,
        "view": config.view,
        **{name: True for name in ("sinks", "words") if getattr(config, name)},
        "batch_size": config.batch_size,
        "shard_size": config.shard_size,
        **({"looks": list(plan_looks(len(dataset)))} if config.until_stable else {}),
    }
