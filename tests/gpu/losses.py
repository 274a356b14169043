"""Compares the losses of runs, step by step, with the first one's.

    python3 tests/gpu/losses.py --within 1e-3 --steps 20 runs/cpu/metrics.jsonl runs/gpu/metrics.jsonl

Exit code 1 when any differs by more than the bound, relative to the first run's loss.
"""

import argparse
import json
from pathlib import Path


def losses(file: str) -> dict[int, float]:
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    steps = [json.loads(line) for line in lines]
    return {step["step"]: step["train/loss"] for step in steps if "train/loss" in step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--within", type=float, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--means", type=int, default=1, help="compare means of so many steps")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    first, *others = [losses(file) for file in args.files]
    bad = False
    for file, other in zip(args.files[1:], others):
        worst = (0.0, 0)
        for begin in range(1, args.steps + 1, args.means):
            window = range(begin, min(begin + args.means, args.steps + 1))
            missing = [step for step in window if step not in first or step not in other]
            if missing:
                raise SystemExit(f"{file}: step {missing[0]} is in one of the runs alone")
            mean = [sum(run[step] for step in window) / len(window) for run in (first, other)]
            difference = abs(mean[1] - mean[0]) / abs(mean[0])
            # What is no number differs as much as can be.
            worst = max(worst, (difference if difference >= 0 else float("inf"), begin))
        print(f"{file}: largest difference {worst[0]:.2e}, at step {worst[1]} (bound {args.within:g})")
        bad |= worst[0] > args.within
    raise SystemExit(int(bad))


if __name__ == "__main__":
    main()
