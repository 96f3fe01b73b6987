"""What does building a data set from COCO train2017 cost, beside pycocotools' own loading and decoding?

Lists with COCO's shape and numbers are invented (`coco_like`), and pictures of the right sizes. Then, in turn and each
in a process of its own, `--pairs` times:

    build       `headimpact dataset build coco`, pictures linked and not decoded: decisions, descriptions, questions,
                mask files, tables, card
    pycocotools  `COCO(instances)`, `COCO(captions)`, `annToRLE` of every object and `annToMask` of those that are key:
                what the build does with the same masks, and nothing else

Prints time and peak memory (resident sizes of all processes of a run added up, ten times a second) and their ratios,
and writes JSON. With `--all-pixels` pycocotools decodes every object to pixels, as a script without a plan would.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from coco_like import write_coco_like, write_pictures

RESULTS = Path(__file__).parent / "results" / "dataset.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the invented lists and what is built")
    parser.add_argument("--share", type=float, default=1.0, help="share of COCO's numbers")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--all-pixels", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--baseline", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.baseline:
        print(json.dumps(load_and_decode(args.work, all_pixels=args.all_pixels)))
        return
    instances, captions = args.work / "instances.json", args.work / "captions.json"
    if not captions.is_file():
        write_coco_like(args.work, share=args.share)
        write_pictures(args.work / "images", instances)
    rows = []
    for number in range(args.pairs):
        rows.append({"build": build(args), "pycocotools": baseline(args)})
        print(number, json.dumps(rows[-1]), flush=True)
    content = summarise(rows, args, [instances, captions])
    print(json.dumps({name: content[name] for name in ("median", "ratio")}, indent=1))
    args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def build(args: argparse.Namespace) -> dict[str, Any]:
    """Build once; the folder of the time before is gone first."""
    out = args.work / "built"
    shutil.rmtree(out, ignore_errors=True)
    command = [
        sys.executable, "-m", "headimpact", "dataset", "build", "coco",
        "--instances", str(args.work / "instances.json"),
        "--captions", str(args.work / "captions.json"), "--images", str(args.work / "images"), "--out", str(out),
        "--check-pictures", "no", "--workers", str(args.workers), "--json",
    ]  # fmt: skip
    found = measure(command)
    return {"seconds": found["seconds"], "peak_bytes": found["peak_bytes"], **found["answer"], "out": out.name}


def baseline(args: argparse.Namespace) -> dict[str, Any]:
    """Load and decode once."""
    command = [sys.executable, __file__, "--baseline", "--work", str(args.work)]
    found = measure([*command, "--all-pixels"] if args.all_pixels else command)
    return {"seconds": found["seconds"], "peak_bytes": found["peak_bytes"], **found["answer"]}


def load_and_decode(work: Path, *, all_pixels: bool) -> dict[str, Any]:
    """Do with pycocotools what the build did with the same lists and masks."""
    from pycocotools.coco import COCO  # noqa: PLC0415 - the builds measured from here must not pay for it

    keys = {
        int(one)
        for line in (work / "built" / "decisions.jsonl").open(encoding="utf-8")
        for candidate in json.loads(line)["candidates"]
        if candidate["is_key"]
        for one in candidate["instance_ids"]
    }
    warnings.simplefilter("ignore")  # pycocotools under numpy 2
    started = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        coco, captions = COCO(str(work / "instances.json")), COCO(str(work / "captions.json"))
    loaded = time.perf_counter()
    pixels = 0
    for annotation_id, annotation in coco.anns.items():
        if all_pixels or annotation_id in keys:
            pixels += int(coco.annToMask(annotation).any())
        else:
            coco.annToRLE(annotation)
    return {
        "load_seconds": loaded - started,
        "decode_seconds": time.perf_counter() - loaded,
        "objects": len(coco.anns),
        "captions": len(captions.anns),
        "decoded_to_pixels": pixels,
    }


def measure(command: list[str]) -> dict[str, Any]:
    """Run a command and give its time, its peak memory and its answer."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(resident_bytes, tree(process.pid))))
        time.sleep(0.1)
    seconds = time.perf_counter() - started
    assert process.stdout is not None
    answer = json.loads(process.stdout.read())
    assert process.returncode == 0, command
    return {"seconds": seconds, "peak_bytes": peak, "answer": answer}


def tree(pid: int) -> list[int]:
    """List a process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def resident_bytes(pid: int) -> int:
    """Give the resident size of a process; nothing once it is gone."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def summarise(rows: list[dict[str, Any]], args: argparse.Namespace, files: list[Path]) -> dict[str, Any]:
    """Put medians and ratios beside what was run."""
    quantities = ("seconds", "peak_bytes")
    ratios = {name: [row["build"][name] / row["pycocotools"][name] for row in rows] for name in quantities}
    return {
        "what": "dataset build coco beside pycocotools' load, index and decoding of the same masks; ratios are build / "
        "pycocotools, of the two runs of a pair",
        "pictures": "linked, not decoded",
        "share": args.share,
        "file_bytes": {path.name: path.stat().st_size for path in files},
        "all_pixels": args.all_pixels,
        "workers": args.workers,
        "pairs": args.pairs,
        "ratio": {
            name: {"median": statistics.median(found), "low": min(found), "high": max(found)}
            for name, found in ratios.items()
        },
        "median": {
            side: {name: statistics.median(row[side][name] for row in rows) for name in quantities}
            for side in ("build", "pycocotools")
        },
        "rows": rows,
    }


if __name__ == "__main__":
    main()
