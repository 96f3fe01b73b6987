from headimpact.data.dataset import KeyObjectDataset as KeyObjectDataset
from headimpact.models.loading import load_model as load_model
from headimpact.scoring.head_scores import HeadScores as HeadScores
from headimpact.selection.selection import Selection as Selection
from headimpact.selection.strategies import select_layers as select_layers
from headimpact.tuning.lora import build_lora_config as build_lora_config
from headimpact.workflows.api import build_report as build_report
from headimpact.workflows.api import compare_runs as compare_runs
from headimpact.workflows.api import evaluate as evaluate
from headimpact.workflows.api import list_families as list_families
from headimpact.workflows.api import list_metrics as list_metrics
from headimpact.workflows.api import list_scores as list_scores
from headimpact.workflows.api import read_dataset as read_dataset
from headimpact.workflows.api import score_heads as score_heads
from headimpact.workflows.api import tune as tune

__version__: str
__all__: list[str]
