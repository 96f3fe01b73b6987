"""What a tuning run keeps from epoch to epoch: the prefix on disk, the language inputs in memory, or nothing."""

import contextlib
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headimpact.core.errors import OptionError, UnknownNameError, UnsupportedModelError
from headimpact.core.registry import unknown_name_message
from headimpact.selection.selection import Selection
from headimpact.tuning.examples import TuningExample, plan_batches
from headimpact.tuning.options import TuningOptions
from headimpact.workflows.configs import TuneConfig
from headimpact.workflows.processes import Processes

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel
    from headimpact.tuning.language_inputs import LanguageInputCache
    from headimpact.tuning.prefix_cache import PrefixCache

PREFIX_FOLDER = "prefix_cache"
PREFIX_MODES = ("auto", "on", "off")
_GIGABYTE = 10**9
_LOG = logging.getLogger(__name__)


def check_prefix_options(config: TuneConfig) -> None:
    """Refuse what cannot be meant.

    Raises:
        UnknownNameError: If the mode is none of `PREFIX_MODES`.
        OptionError: If the space is not above 0.
    """
    if config.prefix_cache not in PREFIX_MODES:
        raise UnknownNameError(unknown_name_message("--prefix-cache", config.prefix_cache, PREFIX_MODES))
    if not config.prefix_cache_gb > 0:
        raise OptionError(f"--prefix-cache-gb is {config.prefix_cache_gb}; expected a number above 0.")


@contextlib.contextmanager
def tuning_cache(
    loaded: "LoadedModel",
    examples: Sequence[TuningExample],
    selection: Selection,
    *,
    options: TuningOptions,
    config: TuneConfig,
    processes: Processes | None = None,
) -> Iterator["PrefixCache | LanguageInputCache | None"]:
    """Lend what the run may keep, filled where it is on disk; a prefix in the run's own folder is deleted afterwards.

    With `auto` the prefix is kept where every example is used twice or more and something is below the lowest tuned
    layer that memory does not keep already. Where it cannot be kept, `auto` says why and goes on without.

    Args:
        loaded: The base model.
        examples: The training set.
        selection: Which layers or heads are tuned.
        options: How the kernel trains.
        config: The command's options.
        processes: Those that share the work; all keep the prefix, or none does. This one alone if left out.

    Yields:
        The cache, or None.

    Raises:
        OptionError: With `on`: if the prefix outgrows its place, or pictures change from look to look.
        UnsupportedModelError: With `on`: if the family's decoder cannot be cut.
    """
    from headimpact.tuning.language_inputs import LanguageInputCache, offers_language_inputs

    processes = processes or Processes()
    in_memory = config.cache_language_inputs and offers_language_inputs(loaded)
    own = config.out / PREFIX_FOLDER
    cache: PrefixCache | LanguageInputCache | None = None
    refusal: OptionError | UnsupportedModelError | None = None
    try:
        if _wants_prefix(config, selection, options, num_examples=len(examples), in_memory=in_memory):
            share = (processes.rank, processes.count)
            cache = _filled(loaded, examples, selection, options=options, config=config, own=own, share=share)
    except (OptionError, UnsupportedModelError) as error:
        refusal = error
    if not processes.agree(refusal is None):
        cache, refusal = None, refusal or OptionError("Another process could not keep the prefix; see its message.")
        _remove(own, processes)
        if config.prefix_cache == "on":
            raise refusal
        _LOG.warning("Tuning goes on without the prefix cache. %s", refusal)
    if cache is None and in_memory:
        cache = LanguageInputCache(loaded, examples, bf16=options.bf16)
    yield cache
    _remove(own, processes)


def _remove(folder: Path, processes: Processes) -> None:
    """Delete what was kept in the run's own folder, once for all processes."""
    if processes.is_main:
        shutil.rmtree(folder, ignore_errors=True)


def _wants_prefix(
    config: TuneConfig, selection: Selection, options: TuningOptions, *, num_examples: int, in_memory: bool
) -> bool:
    """Say whether the prefix is to be kept on disk."""
    if config.prefix_cache != "auto":
        return config.prefix_cache == "on"
    if min(selection.layers) == 0 and in_memory:
        return False
    used = [index for batch in plan_batches(num_examples, options) for index in batch]
    return len(used) >= 2 * len(set(used))


def _filled(
    loaded: "LoadedModel",
    examples: Sequence[TuningExample],
    selection: Selection,
    *,
    options: TuningOptions,
    config: TuneConfig,
    own: Path,
    share: tuple[int, int],
) -> "PrefixCache":
    """Fill a prefix cache with this process's share of the examples that the run uses."""
    from headimpact.tuning.prefix_cache import PrefixCache

    cache = PrefixCache(
        loaded,
        examples,
        layer_idx=min(selection.layers),
        folder=own if config.prefix_cache_dir is None else Path(config.prefix_cache_dir),
        max_bytes=config.prefix_cache_gb * _GIGABYTE,
        bf16=options.bf16,
    )
    cache.fill((index for batch in plan_batches(len(examples), options) for index in batch), share=share)
    return cache
