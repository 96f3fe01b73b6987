"""What every run of an experiment shares: the model, opened once, the pictures, and what is kept from run to run."""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headimpact.data.dataset import KeyObjectDataset
from headimpact.evaluation.requests import split_blocks
from headimpact.workflows.configs import EvaluateConfig, MetricOptions, ModelOptions, TuneConfig
from headimpact.workflows.dataset import prompt_for
from headimpact.workflows.evaluation import describe_adapter, evaluate_model, task_requests
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_plan import ExperimentFolder, GridPoint
from headimpact.workflows.opening import open_model
from headimpact.workflows.run_folder import claim_run
from headimpact.workflows.tasks import CAPTIONING, ask_task
from headimpact.workflows.tuning import task_examples, tune_folder

if TYPE_CHECKING:
    from headimpact.evaluation.generation import EncodedPrompts
    from headimpact.models.loading import LoadedModel
    from headimpact.selection.selection import Selection
    from headimpact.tuning.examples import TuningExample
    from headimpact.tuning.language_inputs import LanguageInputCache


def model_options(config: ExperimentConfig) -> dict[str, Any]:
    """Give the options of an experiment that say which model runs and how."""
    names = {field.name for field in dataclasses.fields(ModelOptions)} - {"batch_size"}
    return {name: getattr(config, name) for name in sorted(names)}


def data_folder(config: ExperimentConfig) -> Path:
    """Give the user's data folder, or that of the scenes that are made."""
    return config.out / "data" if config.data is None else config.data


class Bench:
    """Tunes and evaluates, with everything that can be kept between runs."""

    def __init__(self, config: ExperimentConfig, loaded: "LoadedModel", data: KeyObjectDataset) -> None:
        """Keep nothing yet.

        Args:
            config: The experiment's options.
            loaded: The base model.
            data: All pictures.
        """
        self.config, self.loaded, self.data = config, loaded, data
        self.folder = ExperimentFolder(config.out)
        self._prompts: dict[tuple[str, str], EncodedPrompts] = {}

    def shared_options(self) -> dict[str, Any]:
        """Give the options that every stage takes over as they are."""
        config = self.config
        return {
            **model_options(config),
            "data": data_folder(config),
            "images": config.images,
            "skip_bad": config.skip_bad,
            "resume": True,
        }

    def tune_config(self, selection: Path, out: Path, point: GridPoint, seed: int) -> TuneConfig:
        """Put together what `tune` would be told."""
        config = self.config
        return TuneConfig(
            **self.shared_options(),
            selection=selection,
            out=out,
            task=config.tune_task,
            answer_template=config.answer_template if config.tune_task != CAPTIONING else None,
            batch_size=config.batch_size,
            gradient_accumulation_steps=config.gradient_accumulation_steps,
            gradient_checkpointing=config.gradient_checkpointing,
            bf16=config.bf16,
            max_steps=point.max_steps,
            learning_rate=point.learning_rate,
            lora_alpha=config.lora_alpha,
            cache_language_inputs=config.cache_language_inputs,
            seed=seed,
        )

    @cached_property
    def _training(self) -> tuple[KeyObjectDataset, "tuple[TuningExample, ...]"]:
        """Give the training pictures and what is learned from them; the same for every run."""
        config = self.tune_config(Path(), Path(), GridPoint(1.0, 1), 0)
        dataset, template = ask_task(config, self.data.split("train"))
        return dataset, task_examples(config, dataset, template)

    @cached_property
    def _language_inputs(self) -> "LanguageInputCache | None":
        """Keep what lies below the language model, where the family allows it."""
        from headimpact.tuning.language_inputs import LanguageInputCache, offers_language_inputs

        if not self.config.cache_language_inputs or not offers_language_inputs(self.loaded):
            return None
        return LanguageInputCache(self.loaded, self._training[1], bf16=self.config.bf16)

    def tune(self, selection: "Selection", config: TuneConfig) -> None:
        """Tune one run into its folder, unless that is done."""
        if not claim_run(config, done_file="tuning.json"):
            dataset, examples = self._training
            tune_folder(self.loaded, dataset, examples, selection, config=config, cache=self._language_inputs)

    def evaluate(self, adapter: Path | None, out: Path, *, task: str, split: str = "test") -> None:
        """Evaluate a tuned run, or the base model, into a folder, unless that is done."""
        metrics = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(MetricOptions)}
        config = EvaluateConfig(
            **self.shared_options(),
            **{**metrics, "metrics": self.config.metrics if task == CAPTIONING else ()},
            out=out,
            split=split,
            task=task,
            answer_template=self.config.answer_template if task != CAPTIONING else None,
            adapter=adapter,
            batch_size=self.config.evaluation_batch_size,
            max_new_tokens=self.config.max_new_tokens,
        )
        if claim_run(config, done_file="metrics.json"):
            return
        found, arm, used = describe_adapter(adapter)
        dataset, template = ask_task(config, self.data.split(split))
        prompt = prompt_for(config, dataset) if template is None else template.prompt
        if self.config.cache_language_inputs and (task, split) not in self._prompts:
            from headimpact.evaluation.generation import EncodedPrompts

            requests = task_requests(dataset, prompt=prompt, template=template)
            blocks = split_blocks(requests, block_size=config.batch_size)
            self._prompts[task, split] = EncodedPrompts(self.loaded, blocks)
        evaluate_model(
            self.loaded if found is None else open_model(config, adapter=found),
            dataset,
            config=config,
            prompt=prompt,
            template=template,
            arm=arm,
            used=used,
            prompts=self._prompts.get((task, split)),
        )
