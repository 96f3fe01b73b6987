"""What do all scores with their chance levels cost beside Head Impact with its own?

`headimpact score` on the same scenes and the embedded model, with and without `--scores all`, in turn in an order that
is reversed every time, after one of each to warm up. `command` is the whole command as it is typed, start and loading
of the model included; `in_process` is without the start, which takes as long for any command. Processor time of one
thread, so that others on the machine matter less. Writes JSON.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from headimpact.embedded.scenes import build_scenes
from headimpact.scoring import SCORES
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.scoring import score_command

RESULTS = Path("benchmarks/results/all_scores.json")
Run = Callable[[Path, bool], float]


def command(data: Path, every: bool) -> float:
    """Run the command in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "headimpact", "score", "--model", "embedded", "--data", str(data)]
        line += ["--out", f"{folder}/run", "--device", "cpu", *(["--scores", "all"] if every else [])]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(line, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def in_process(data: Path, every: bool) -> float:
    """Run the same in this process."""
    out = Path(tempfile.mkdtemp()) / "run"
    config = ScoreConfig(model="embedded", data=data, out=out, device="cpu", scores="all" if every else None)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        start = time.process_time()
        score_command(config)
        seconds = time.process_time() - start
    shutil.rmtree(out.parent)
    return seconds


def measure(run: Run, data: Path, *, pairs: int) -> dict[str, float]:
    """Time both in turn and give the median of the paired ratios."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for pair in range(pairs + 1):
        for every in (False, True) if pair % 2 else (True, False):
            took = run(data, every)
            if pair:
                seconds[every].append(took)
    ratios = [both / one for both, one in zip(seconds[True], seconds[False], strict=True)]
    return {
        "head_impact_seconds": statistics.median(seconds[False]),
        "all_seconds": statistics.median(seconds[True]),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        build_scenes(data, task="describe", counts={"calibration": args.pictures}, seed=0)
        content = {
            "what": "headimpact score --scores all against Head Impact alone, both with their chance levels",
            "model": "embedded",
            "pictures": args.pictures,
            "scores": list(SCORES),
            "pairs": args.pairs,
            "clock": "processor time",
            "threads": 1,
            "torch": torch.__version__,
            "command": measure(command, data, pairs=args.pairs),
            "in_process": measure(in_process, data, pairs=args.pairs),
        }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content))


if __name__ == "__main__":
    main()
