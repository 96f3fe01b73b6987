"""Trains the small VLM on fresh scenes: warms the tower up, then answers packed turns.

In: nothing but a plan and a seed. Out: a state file that a killed run goes on from.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from headimpact.embedded.architecture import Size, build_model
from headimpact.embedded.attributes import BACKGROUNDS, COLOURS, SHAPES, TEXTURES, TOKEN_SIDE, Scene
from headimpact.embedded.batches import TurnEncoder, choose_turns, dense_targets, pack_batch
from headimpact.embedded.language import Turn
from headimpact.embedded.layout import draw_main_scene, scene_generator
from headimpact.embedded.muon import BatchedMuon
from headimpact.embedded.packed_forward import (
    answer_loss,
    packed_hidden_states,
    tower_features,
    use_float32_attention,
)
from headimpact.embedded.run_state import load_state, save_state

if TYPE_CHECKING:
    from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

logger = logging.getLogger(__name__)

DECAY_SHARE = 0.28
_CLASSES = {
    "colour": len(COLOURS) + 1,
    "shape": len(SHAPES) + 1,
    "texture": len(TEXTURES) + 1,
    "main": 2,
    "background": len(BACKGROUNDS),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the small VLM is trained.

    Args:
        steps: Length of the schedule in steps.
        minutes: Length of the schedule in minutes of training; whichever ends first counts.
        warm_steps: First steps, in which only the tower learns, from dense targets.
        warm_batch_size: Pictures a step while only the tower learns.
        batch_size: Pictures a step afterwards.
        learning_rate: Highest learning rate.
        dense_weight: Weight of the dense targets' loss once the decoder learns; falls to 0 at the end.
        save_minutes: Minutes between two state files.
        seed: Seed of weights and scenes.
        size: Sizes of the model.
    """

    steps: int = 4200
    minutes: float = 140.0
    warm_steps: int = 1200
    warm_batch_size: int = 32
    batch_size: int = 16
    learning_rate: float = 1e-3
    dense_weight: float = 0.5
    save_minutes: float = 3.0
    seed: int = 0
    size: Size = field(default_factory=Size)


class TrainingRun:
    """A training run that can be saved, killed and resumed.

    Args:
        plan: How to train.
        tokenizer: The VLM's tokenizer.
        folder: Where the state file and the log go.
    """

    def __init__(self, *, plan: Plan, tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.model: LlavaForConditionalGeneration = build_model(tokenizer, size=plan.size, seed=plan.seed)
        use_float32_attention(self.model)
        self.dense_heads = nn.ModuleDict({name: nn.Linear(plan.size.width, count) for name, count in _CLASSES.items()})
        self.dense_heads["pixels"] = nn.Linear(plan.size.width, TOKEN_SIDE**2)
        self.encoder = TurnEncoder(tokenizer)
        self.optimizers = _build_optimizers(self.model, self.dense_heads, plan.learning_rate)
        self.step = 0
        self.elapsed = 0.0

    @property
    def state_path(self) -> Path:
        """File that a killed run goes on from."""
        return self.folder / "state.safetensors"

    @property
    def progress(self) -> float:
        """Share of the schedule that is done, in [0, 1]."""
        return min(1.0, max(self.step / self.plan.steps, self.elapsed / (60 * self.plan.minutes)))

    def train(self) -> None:
        """Train to the end of the schedule, saving the state now and then."""
        self.model.train()
        last_save = self.elapsed
        while self.progress < 1:
            started = time.monotonic()
            figures = self._take_step()
            self.step += 1
            self.elapsed += time.monotonic() - started
            if self.step % 20 == 0:
                self._log(figures)
            if self.elapsed - last_save > 60 * self.plan.save_minutes:
                last_save = self.elapsed
                self.save()
        self.save()

    def save(self) -> None:
        """Write the state file, whole or not at all."""
        save_state(
            self.state_path,
            modules=self._modules,
            optimizers=self.optimizers,
            progress={"plan": asdict(self.plan), "step": self.step, "elapsed": self.elapsed},
        )

    def resume(self) -> None:
        """Go on from the state file."""
        progress = load_state(self.state_path, modules=self._modules, optimizers=self.optimizers)
        self.step, self.elapsed = progress["step"], progress["elapsed"]

    @property
    def _modules(self) -> dict[str, nn.Module]:
        """Everything that is trained, by name."""
        return {"model": self.model, "dense_heads": self.dense_heads}

    def _take_step(self) -> dict[str, float]:
        """Draw one batch of fresh scenes and learn from it."""
        is_warming = self.step < self.plan.warm_steps
        scenes, turns = self._draw(crowding=1.0 if is_warming else _crowding(self.progress))
        with torch.autocast("cpu", torch.bfloat16):
            batch = pack_batch(scenes, turns, encoder=self.encoder)
            half_way, features, projected = tower_features(self.model, batch.pixel_values)
            dense, figures = self._dense_loss(half_way, features, scenes)
            weight = 1.0 if is_warming else self.plan.dense_weight * (1 - self.progress)
            loss = weight * dense
            if not is_warming:
                hidden = packed_hidden_states(self.model, batch, projected)
                answers, accuracy = answer_loss(self.model, batch, hidden)
                loss = loss + answers
                figures |= {"loss": answers.item(), "accuracy": accuracy.item()}
        torch.autograd.backward(loss)
        self._update(rate=self._rate())
        return figures

    def _draw(self, *, crowding: float) -> tuple[list[Scene], list[list[Turn]]]:
        """Draw the scenes of this step and choose their turns."""
        plan = self.plan
        warmed = min(self.step, plan.warm_steps)
        first = warmed * plan.warm_batch_size + (self.step - warmed) * plan.batch_size
        count = plan.warm_batch_size if self.step < plan.warm_steps else plan.batch_size
        scenes, turns = [], []
        for index in range(first, first + count):
            rng = scene_generator(seed=self.plan.seed, split="pretrain", index=index)
            scenes.append(draw_main_scene(rng, crowding=crowding))
            turns.append(choose_turns(scenes[-1], rng))
        return scenes, turns

    def _dense_loss(
        self, half_way: torch.Tensor, features: torch.Tensor, scenes: list[Scene]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of the throwaway heads and their accuracy where an object is."""
        targets = dense_targets(scenes)
        is_object = targets["colour"] > 0
        pixels = self.dense_heads["pixels"](half_way).float()
        loss = 2 * nn.functional.binary_cross_entropy_with_logits(pixels, targets["pixels"])
        figures = {"pixels": ((pixels > 0) == (targets["pixels"] > 0.5)).float().mean().item()}
        for name in _CLASSES:
            logits, wanted = self.dense_heads[name](features).float(), targets[name]
            share = nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
            importance = torch.where(is_object, 4.0, 1.0).flatten()
            loss = loss + (share * importance).sum() / importance.sum()
            figures[name] = (logits.argmax(-1) == wanted)[is_object].float().mean().item()
        return loss, figures

    def _rate(self) -> float:
        """Warm up, once more with the decoder; keep; fall linearly to nearly zero in the last 28 %."""
        since = self.step if self.step < self.plan.warm_steps else self.step - self.plan.warm_steps
        warm = min(1.0, (since + 1) / 100)
        return self.plan.learning_rate * warm * max(0.01, min(1.0, (1 - self.progress) / DECAY_SHARE))

    def _update(self, *, rate: float) -> None:
        """Clip the gradient and let both optimizers take a step."""
        nn.utils.clip_grad_norm_([*self.model.parameters(), *self.dense_heads.parameters()], 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def _log(self, figures: dict[str, float]) -> None:
        """Log a line and add it to the log file."""
        line = {"step": self.step, "minutes": round(self.elapsed / 60, 2)}
        line |= {name: round(value, 4) for name, value in figures.items()}
        logger.info("%s", line)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def _crowding(progress: float) -> float:
    """Let distractors in between 10 % and 20 % of the schedule."""
    return min(1.0, max(0.0, (progress - 0.1) / 0.1))


def _build_optimizers(model: nn.Module, dense_heads: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Give the hidden matrices to Muon and everything else to AdamW."""
    hidden: list[nn.Parameter] = []
    rest = list(dense_heads.parameters())
    for name, parameter in model.named_parameters():
        is_hidden = parameter.ndim == 2 and (".layers." in name or "projector" in name)
        (hidden if is_hidden else rest).append(parameter)
    return [
        BatchedMuon(hidden, lr=learning_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
