"""Head Impact on one's own pictures: which heads of a model look at what the captions are about.

headimpact dataset build pictures --images photos --captions captions.csv --masks masks --out my_pictures
python examples/score_own_images.py my_pictures runs/own Qwen/Qwen2.5-VL-3B-Instruct
"""

import sys
from pathlib import Path

import headimpact as hi


def main(data: Path, out: Path, model: str = "embedded", **options: int) -> None:
    """Score every head of `model` on the calibration pictures of `data`, and show the best."""
    pictures = hi.read_dataset(data, split="calibration")
    scores = hi.score_heads(hi.load_model(model), pictures, out=out, **options)
    impact, gap = scores.values["head_impact"], scores.values["gap"]
    for place in gap.argsort(axis=None)[::-1][:5]:
        layer, head = divmod(int(place), gap.shape[1])
        print(f"layer {layer}, head {head}: {impact[layer, head]:.3f}, {gap[layer, head]:+.3f} above chance")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
