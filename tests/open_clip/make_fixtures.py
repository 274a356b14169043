"""Writes what open_clip itself computes, for the tests to compare with: see README.md."""

import argparse
from pathlib import Path

import models
import pictures
import texts
import versions

DEFAULT = Path(__file__).resolve().parent.parent / "data" / "open_clip"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT, help="folder to write to")
    out = parser.parse_args().out
    versions.be_deterministic()
    models.write(out / "models")
    pictures.write(out / "pictures")
    texts.write(out / "texts.json")
    print(f"{out}: {sum(f.stat().st_size for f in out.rglob('*') if f.is_file())} bytes")


if __name__ == "__main__":
    main()
