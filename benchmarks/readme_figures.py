"""Make the picture at the head of the README: the best and the worst head on one scene of the embedded model."""

import tempfile
from pathlib import Path

import headimpact as hi
from headimpact.embedded.scenes import build_scenes
from headimpact.report.hero import build_hero

EXAMPLE = 1


def main() -> None:
    """Score a few scenes and draw one of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_scenes(folder / "data", task="describe", counts={"calibration": 48}, seed=0)
        data = hi.read_dataset(folder / "data", split="calibration")
        hi.score_heads(hi.load_model("embedded"), data, out=folder / "scores")
        print(build_hero(folder / "scores", Path("docs/images/hero.svg"), example=EXAMPLE, overwrite=True))


if __name__ == "__main__":
    main()
