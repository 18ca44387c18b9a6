"""The main job on real photos, from end to end: embed, score, filter, query.

Runs the same commands that a user types, and prints each before it runs.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

DEMO = Path(__file__).parent
PHOTOS = DEMO / "photos"
OUT = Path("out/demo")
MODEL, TABLE, KEPT = OUT / "model", OUT / "photos", OUT / "kept"


def siglane(*arguments: object) -> dict[str, Any]:
    """Runs one command in a process of its own; gives its summary."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ siglane {shlex.join(words)}", flush=True)
    command = [sys.executable, "-m", "jobs.cli", *words, "--json"]
    summary: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return summary


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    print("Making a small model: random weights from a fixed seed, and a tokenizer trained on the bundled captions.")
    subprocess.run([sys.executable, DEMO / "make_model.py", PHOTOS, MODEL], check=True)

    embedded = siglane("embed", "--input", PHOTOS, "--table", TABLE, "--model", MODEL)
    siglane("score", "--table", TABLE)
    kept = siglane("filter", "--table", TABLE, "--by", "cosine", "--top-fraction", 0.3, "--output", KEPT)
    found = siglane("query", "--table", TABLE, "--image", PHOTOS / "grocery" / "Red-Bell-Pepper_002.jpg", "-k", 3)
    best = found["results"][0]

    print(
        f"\n{embedded['success']} photos and their captions were embedded ({embedded['rejected']} rejected) into "
        f"{TABLE}; the best-scoring {kept['kept']} pairs are in {KEPT}.\n"
        f"Asked for photos like a photo of red bell peppers, the table answered {best['source']} "
        f"with cosine {best['cosine']:.3f}: the photo itself.\n"
        "The model here has random weights: it knows no language and no pictures, so its scores rank nothing yet. "
        "Every other part of the run is what a real model goes through."
    )
    if best["source"] != "grocery/Red-Bell-Pepper_002.jpg" or embedded["read"] == 0:
        sys.exit("the demo did not find the photo that it asked for")


if __name__ == "__main__":
    main()
