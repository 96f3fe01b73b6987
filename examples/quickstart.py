"""The main job in Python, on the embedded model: score, select, tune, evaluate, compare, report.

headimpact dataset build scenes --task where --out scenes
python examples/quickstart.py scenes runs/quickstart
"""

import sys
from pathlib import Path

import headimpact as hi


def main(data: Path, out: Path, *, limit: int = 64, max_steps: int = 60) -> None:
    """Tune the top layers and random ones on `data`, and compare them; everything is written below `out`."""
    splits = ("calibration", "train", "test")
    calibration, train, test = (hi.read_dataset(data, split=split, limit=limit) for split in splits)
    base = hi.load_model("embedded")
    hi.evaluate(base, test, out=out / "evaluated" / "base")
    scores = hi.score_heads(base, calibration, out=out / "scores")
    for strategy in ("top-k", "random"):
        selection = hi.select_layers(scores, strategy=strategy)
        adapter = hi.tune(base, train, selection, out=out / "tuned" / strategy, max_steps=max_steps)
        tuned = hi.load_model("embedded", adapter=adapter)
        metrics = hi.evaluate(tuned, test, out=out / "evaluated" / strategy)
        print(f"{strategy}: layers {selection.layers}, exact match {metrics.values['exact_match']:.2f}")
    table = hi.compare_runs([out / "evaluated"], out=out / "comparison")
    print(*table.sentences(), sep="\n")
    print(hi.build_report([out], out / "report.html"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
