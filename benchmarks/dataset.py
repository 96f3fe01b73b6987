"""What does building a data set from COCO train2017 cost, beside pycocotools' own loading and decoding?

Lists with COCO's shape and numbers are invented (`coco_like`), and pictures of the right sizes. Then, in turn and each
in a process of its own, `--pairs` times:

    build       `headimpact dataset build coco`, pictures linked and not decoded: decisions, descriptions, questions,
                mask files, tables, card
    pycocotools `COCO(instances)`, `COCO(captions)`, `annToRLE` of every object and `annToMask` of those that are key:
                what the build does with the same masks, and nothing else; then `annToMask` of every other object too,
                as a script does that counts pixels

Prints time (`seconds` beside `annToRLE`, `all_pixels_seconds` beside `annToMask` of all), by the clock and, of all
processors together, `cpu_...`, peak memory (resident sizes of all processes of a run added up, ten times a second) and
their ratios, and writes JSON. Pairs that the file holds already are kept with `--append`. What is built is removed at
the end: ext4 is slow to make files for some minutes after as many were deleted.
"""

import argparse
import contextlib
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from coco_like import write_coco_like, write_pictures

RESULTS = Path(__file__).parent / "results" / "dataset.json"
QUANTITIES = ("seconds", "all_pixels_seconds", "cpu_seconds", "all_pixels_cpu_seconds", "peak_bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the invented lists and what is built")
    parser.add_argument("--share", type=float, default=1.0, help="share of COCO's numbers")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--append", action="store_true", help="keep the pairs that the file holds")
    parser.add_argument("--baseline", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.baseline:
        print(json.dumps(load_and_decode(args.work, args.baseline)))
        return
    instances, captions = args.work / "instances.json", args.work / "captions.json"
    if not captions.is_file():
        write_coco_like(args.work, share=args.share)
        write_pictures(args.work / "images", instances)
    rows = json.loads(args.out.read_text(encoding="utf-8"))["rows"] if args.append else []
    with tempfile.TemporaryDirectory(dir=args.work, prefix="built-") as built:
        for number in range(args.pairs):
            out = Path(built) / str(number)
            rows.append({"build": build(args, out), "pycocotools": baseline(args, out)})
            print(number, json.dumps(rows[-1]), flush=True)
    content = summarise(rows, args, [instances, captions])
    print(json.dumps({name: content[name] for name in ("median", "ratio")}, indent=1))
    args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def build(args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Build once."""
    command = [
        sys.executable, "-m", "headimpact", "dataset", "build", "coco",
        "--instances", str(args.work / "instances.json"),
        "--captions", str(args.work / "captions.json"), "--images", str(args.work / "images"), "--out", str(out),
        "--check-pictures", "no", "--workers", str(args.workers), "--json",
    ]  # fmt: skip
    found = measure(command)
    answer = {name: found["answer"][name] for name in ("pictures", "decided", "captions", "questions")}
    taken = {name: found[name.replace("all_pixels_", "")] for name in QUANTITIES}
    return {**taken, **answer}


def baseline(args: argparse.Namespace, built: Path) -> dict[str, Any]:
    """Load and decode once."""
    found = measure([sys.executable, __file__, "--baseline", str(built), "--work", str(args.work)])
    return {**found["answer"], "peak_bytes": found["peak_bytes"]}


def load_and_decode(work: Path, built: Path) -> dict[str, Any]:
    """Do with pycocotools what the build did with the same lists and masks."""
    from pycocotools.coco import COCO  # noqa: PLC0415 - the builds measured from here must not pay for it

    keys = {
        int(one)
        for line in (built / "decisions.jsonl").open(encoding="utf-8")
        for candidate in json.loads(line)["candidates"]
        if candidate["is_key"]
        for one in candidate["instance_ids"]
    }
    warnings.simplefilter("ignore")  # pycocotools under numpy 2
    clock, cpu = [time.perf_counter()], [time.process_time()]

    def tick() -> None:
        clock.append(time.perf_counter())
        cpu.append(time.process_time())

    with contextlib.redirect_stdout(sys.stderr):
        coco, captions = COCO(str(work / "instances.json")), COCO(str(work / "captions.json"))
    tick()
    others = [annotation for annotation in coco.anns.values() if annotation["id"] not in keys]
    for one in others:
        coco.annToRLE(one)
    tick()
    for one in keys:
        coco.annToMask(coco.anns[one])
    tick()
    for one in others:
        coco.annToMask(one)
    tick()
    load, others_rle, keys_pixels, others_pixels = (later - earlier for earlier, later in itertools.pairwise(clock))
    cpu_load, cpu_rle, cpu_keys, cpu_pixels = (later - earlier for earlier, later in itertools.pairwise(cpu))
    return {
        "seconds": load + others_rle + keys_pixels,
        "all_pixels_seconds": load + keys_pixels + others_pixels,
        "cpu_seconds": cpu_load + cpu_rle + cpu_keys,
        "all_pixels_cpu_seconds": cpu_load + cpu_keys + cpu_pixels,
        "load_seconds": load,
        "others_to_runs_seconds": others_rle,
        "keys_to_pixels_seconds": keys_pixels,
        "others_to_pixels_seconds": others_pixels,
        "objects": len(coco.anns),
        "key_objects": len(keys),
        "captions": len(captions.anns),
    }


def measure(command: list[str]) -> dict[str, Any]:
    """Run a command and give its time by the clock and of all its processes, its peak memory and its answer."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = 0
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=said, stderr=errors)
        while process.poll() is None:
            peak = max(peak, sum(map(resident_bytes, tree(process.pid))))
            time.sleep(0.1)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        errors.seek(0)
        assert process.returncode == 0, errors.read()[-2000:]
        said.seek(0)
        cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "peak_bytes": peak,
            "answer": json.loads(said.read()),
        }


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
    ratios = {name: [row["build"][name] / row["pycocotools"][name] for row in rows] for name in QUANTITIES}
    return {
        "what": "dataset build coco beside pycocotools' load, index and decoding of the same masks; ratios are build / "
        "pycocotools, of the two runs of a pair",
        "pictures": "linked, not decoded",
        "share": args.share,
        "file_bytes": {path.name: path.stat().st_size for path in files},
        "workers": args.workers,
        "pairs": len(rows),
        "ratio": {
            name: {"median": statistics.median(found), "low": min(found), "high": max(found)}
            for name, found in ratios.items()
        },
        "median": {
            side: {name: statistics.median(row[side][name] for row in rows) for name in QUANTITIES}
            for side in ("build", "pycocotools")
        },
        "rows": rows,
    }


if __name__ == "__main__":
    main()
