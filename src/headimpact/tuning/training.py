"""Trains LoRA on the selected layers and saves the adapter; transformers' Trainer runs the steps.

In: a base model, examples, a `Selection`, `TuningOptions`. Out: `adapter/` (PEFT's own format, loads in plain
PEFT) and `tuning.json`, and the base model as it was.
"""

import contextlib
import dataclasses
import logging
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from headimpact.core.artifacts import atomic_folder, refuse_used, write_json
from headimpact.core.errors import OptionError, RunFailedError
from headimpact.core.provenance import hash_texts
from headimpact.models.loading import LoadedModel
from headimpact.selection.selection import Selection
from headimpact.tuning.examples import TuningExample, schedule_batches
from headimpact.tuning.language_inputs import LanguageInputCache, TuningBatch, encode_batch
from headimpact.tuning.lora import attached_lora, build_lora_config, count_parameters
from headimpact.tuning.loss import answer_loss
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.parameters import TrainableCount
from headimpact.tuning.random_state import seeded

SCHEMA = "tuning/1"
_LOG = logging.getLogger(__name__)
