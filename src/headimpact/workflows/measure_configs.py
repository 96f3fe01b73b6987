"""The options of measuring a result file without a model."""

from dataclasses import dataclass
from pathlib import Path

from headimpact.workflows.configs import MetricOptions, OptionalPath


@dataclass(frozen=True, kw_only=True)
class MeasureConfig(MetricOptions):
    """Measure anybody's captions in COCO's result format against references; no model is loaded."""

    predictions: Path
    """JSON list of `image_id` and `caption`, one per picture."""
    references: Path
    """COCO captions file."""
    instances: OptionalPath = None
    """COCO instances file of the same pictures, for CHAIR."""
    images: OptionalPath = None
    """Folder of the pictures that the references list, for CLIPScore."""
    device: str = "auto"
    """Where a checkpoint of --clip-checkpoint or --bert-checkpoint runs."""
    json: bool = False
    """Print the answer as JSON on stdout, by the names of COCO's evaluation code where it has one."""
