"""How well `dmaskrcnn gauge` ranks pictures, against visibility that is known and against real fog.

    python benchmarks/gauge.py --scenes 40
    dmaskrcnn haze clear.json --visibility 1000 500 250 120 60 30 15 --out hazed
    python benchmarks/gauge.py --hazed hazed --clear clear/images --fog fog/images

Of each measure: Spearman's rank correlation with the visibility, over all pictures and within each
scene; medians at each visibility; the share of pairs of a fog photograph and a clear one that stand
in the right order (AUC); milliseconds per picture. The measures are the two halves of the gauge
and their mean.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from dmaskrcnn.data.image import decode_image, list_images
from dmaskrcnn.demo import render_scene
from dmaskrcnn.haze import add_haze, extinction, gauge, random_airlight

CLEAR = math.inf
VISIBILITIES = (CLEAR, 1000.0, 500.0, 250.0, 120.0, 60.0, 30.0, 15.0)
MEASURES: dict[str, Callable[[np.ndarray], float]] = {
    "veil (dark channel)": lambda image: gauge._veil(gauge._reduced(image)),
    "lost contrast": lambda image: gauge._lost_contrast(gauge._reduced(image)),
    "haziness": gauge.haziness,
}
Pictures = Iterable[tuple[int, float, np.ndarray]]  # scene, visibility in m, uint8 (H, W, 3)


def scenes(count: int) -> Iterator[tuple[int, float, np.ndarray]]:
    """Rendered streets with their true depth."""
    for seed in range(count):
        scene = render_scene(1000 + seed, 240, 320)
        airlight = random_airlight(np.random.default_rng(seed))
        for visibility in VISIBILITIES:
            beta = 0.0 if visibility == CLEAR else extinction(visibility)
            yield seed, visibility, add_haze(scene.image, scene.depth, beta, airlight)


def hazed(folder: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """What `dmaskrcnn haze` wrote, and the clear pictures it was made from."""
    index = json.loads((folder / "haze.json").read_text(encoding="utf-8"))
    for place, entry in enumerate(index["pictures"]):
        yield place, CLEAR, read(Path(entry["file"]))
        for visibility in index["visibilities"]:
            path = folder / f"visibility-{visibility:g}" / "images" / entry["picture"]
            yield place, visibility, read(path)


def read(path: Path) -> np.ndarray:
    return decode_image(path).permute(1, 2, 0).numpy()


def rank(visibility: np.ndarray, haze: np.ndarray) -> float:
    found: Any = spearmanr(-visibility, haze)
    return found.statistic


def ranks(title: str, pictures: Pictures) -> None:
    rows = [
        (scene, visibility, *(measure(image) for measure in MEASURES.values()))
        for scene, visibility, image in pictures
    ]
    table = np.array(rows)
    scene, visibility = table[:, 0], table[:, 1]
    levels = sorted(set(visibility), reverse=True)
    print(f"\n{title}: {len(set(scene))} scenes\n")
    print("| measure | all | within scenes | " + " | ".join(f"{v:g} m" for v in levels) + " |")
    print("|---" * (3 + len(levels)) + "|")
    for column, name in enumerate(MEASURES, 2):
        haze = table[:, column]
        within = [rank(visibility[scene == s], haze[scene == s]) for s in set(scene)]
        cells = [f"{np.median(haze[visibility == v]):.2f}" for v in levels]
        pooled = rank(visibility, haze)
        print(f"| {name} | {pooled:.3f} | {np.mean(within):.3f} | {' | '.join(cells)} |")


def real(fog: list[Path], clear: list[Path]) -> None:
    print(f"\n{len(fog)} photographs of fog, {len(clear)} clear ones\n")
    print("| measure | AUC | fog: 10 %, 50 %, 90 % | clear: 10 %, 50 %, 90 % | ms |")
    print("|---|---|---|---|---|")
    pictures = [[read(path) for path in paths] for paths in (fog, clear)]
    for name, measure in MEASURES.items():
        began = time.perf_counter()
        a, b = (np.array([measure(image) for image in images]) for images in pictures)
        took = 1000 * (time.perf_counter() - began) / (len(a) + len(b))
        auc = (a[:, None] > b[None]).mean()
        parts = [", ".join(f"{q:.2f}" for q in np.quantile(x, (0.1, 0.5, 0.9))) for x in (a, b)]
        print(f"| {name} | {auc:.3f} | {parts[0]} | {parts[1]} | {took:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=0, help="rendered scenes")
    parser.add_argument("--hazed", type=Path, help="folder of `dmaskrcnn haze`")
    parser.add_argument("--fog", type=Path, help="folder of photographs of fog")
    parser.add_argument("--clear", type=Path, help="folder of clear photographs")
    parser.add_argument("--most", type=int, default=150, help="photographs of each kind")
    options = parser.parse_args()
    if options.scenes:
        ranks("rendered scenes", scenes(options.scenes))
    if options.hazed:
        ranks(str(options.hazed), hazed(options.hazed))
    if options.fog and options.clear:
        real(*(list_images(path)[: options.most] for path in (options.fog, options.clear)))


if __name__ == "__main__":
    main()
