import logging

import pytest

from headimpact.core.errors import OptionError, UnknownNameError, UnsupportedModelError
from headimpact.tuning.language_inputs import LanguageInputCache
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.prefix_cache import PrefixCache
from headimpact.workflows.configs import TuneConfig
from headimpact.workflows.tuning_cache import check_prefix_options, tuning_cache
from tests.unit.tuning.makers import examples, selection_for

TWICE, ONCE = TuningOptions(epochs=2, batch_size=2), TuningOptions(epochs=1, batch_size=2)


def config(folder, **options):
    return TuneConfig(model="x", data=folder, selection=folder, out=folder / "run", **options)


def chosen(loaded, folder, *, layers=(1,), options=TWICE, **given):
    selection = selection_for(loaded.model, layers)
    with tuning_cache(
        loaded, examples(4), selection, options=options, config=config(folder, **given)
    ) as cache:  # fmt: skip
        return cache


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        pytest.param({}, PrefixCache, id="auto"),
        pytest.param({"options": ONCE}, LanguageInputCache, id="every-example-once"),
        pytest.param({"options": ONCE, "prefix_cache": "on"}, PrefixCache, id="on"),
        pytest.param({"layers": (0, 2)}, LanguageInputCache, id="nothing-below-but-embeddings"),
        pytest.param({"layers": (0, 2), "cache_language_inputs": False}, PrefixCache, id="embeddings-on-disk"),
        pytest.param({"prefix_cache": "off"}, LanguageInputCache, id="off"),
        pytest.param({"prefix_cache": "off", "cache_language_inputs": False}, type(None), id="nothing"),
    ],
)
def test_what_is_kept(tiny_model, tmp_path, given, kind):
    assert type(chosen(tiny_model("llava-siglip"), tmp_path, **given)) is kind


def test_a_prefix_is_filled_in_the_runs_folder_and_taken_away_when_it_is_finished(tiny_model, tmp_path):
    loaded = tiny_model("llava-siglip")
    options = {"options": TWICE, "config": config(tmp_path)}
    with tuning_cache(loaded, examples(4), selection_for(loaded.model, (2,)), **options) as cache:
        assert isinstance(cache, PrefixCache)
        assert (cache.layer_idx, cache.cost.examples) == (2, 4)
        assert list((tmp_path / "run" / "prefix_cache").rglob("*.safetensors"))
    assert not (tmp_path / "run" / "prefix_cache").exists()


def test_a_run_that_fails_leaves_the_prefix_for_the_next(tiny_model, tmp_path):
    loaded = tiny_model("llava-siglip")
    options = {"options": TWICE, "config": config(tmp_path)}
    with (
        pytest.raises(KeyboardInterrupt),
        tuning_cache(loaded, examples(4), selection_for(loaded.model, (2,)), **options),
    ):
        raise KeyboardInterrupt
    again = chosen(loaded, tmp_path, layers=(2,))
    assert (again.cost.examples, again.cost.found) == (0, 4)


def test_a_folder_of_ones_own_is_kept_and_shared(tiny_model, tmp_path):
    loaded, shared = tiny_model("llava-siglip"), tmp_path / "shared"
    chosen(loaded, tmp_path / "one", prefix_cache_dir=shared)
    second = chosen(loaded, tmp_path / "two", prefix_cache_dir=shared)
    assert (second.cost.examples, second.cost.found) == (0, 4)


@pytest.mark.parametrize(
    ("name", "given", "error", "helps"),
    [
        pytest.param("gemma4", {}, UnsupportedModelError, "keys and values of earlier ones", id="family"),
        pytest.param("llava-siglip", {"prefix_cache_gb": 1e-6}, OptionError, "outgrow its place", id="space"),
    ],
)
def test_what_cannot_be_kept_is_said_and_tuning_goes_on_or_is_refused(
    tiny_model, tmp_path, caplog, name, given, error, helps
):
    loaded = tiny_model(name)
    with caplog.at_level(logging.WARNING, logger="headimpact"):
        assert not isinstance(chosen(loaded, tmp_path, **given), PrefixCache)
    assert "goes on without the prefix cache" in caplog.text
    assert helps in caplog.text
    assert not (tmp_path / "run" / "prefix_cache").exists()
    with pytest.raises(error, match=helps):
        chosen(loaded, tmp_path, prefix_cache="on", **given)


def test_options_that_cannot_be_meant(tmp_path):
    with pytest.raises(UnknownNameError, match=r"--prefix-cache 'of'.*'off'"):
        check_prefix_options(config(tmp_path, prefix_cache="of"))
    with pytest.raises(OptionError, match="--prefix-cache-gb is -1"):
        check_prefix_options(config(tmp_path, prefix_cache_gb=-1))
