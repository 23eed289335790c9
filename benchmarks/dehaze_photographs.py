"""What dehazing does to photographs of fog, whose clear version nobody knows: colour in the sky,
contrast, and what a burnt-in bar changes.

    uv run python benchmarks/dehaze_photographs.py fog/ --every 8 --sheet fog.jpg

The sky is the fifth of a picture with the brightest dark channel. Its colour is the mean distance
between the highest and the lowest channel, of 255. Contrast is the deviation of the mean of the
channels in the other four fifths, as a share of what it was. A bar is white, of 22 rows at the top,
and looked at (``ignore_rows=(0, 0)``): the mean change below it, of 255.
"""

import argparse
import statistics
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing import Dehazer
from dmaskrcnn.dehazing.dark_channel import dark_channel
from dmaskrcnn.draw import contact_sheet

SUFFIXES = (".jpg", ".jpeg", ".png")
BAR = 22  # rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of photographs")
    parser.add_argument("--every", type=int, default=1, help="take every so-many-th of them")
    parser.add_argument("--methods", nargs="+", choices=DEHAZERS, default=list(DEHAZERS))
    parser.add_argument("--sheet", type=Path, help="draw what each method makes of them")
    args = parser.parse_args()
    files = sorted(f for f in args.folder.iterdir() if f.suffix.lower() in SUFFIXES)[:: args.every]
    photographs = [decode_image(file) for file in files]
    skies = [sky_of(image) for image in photographs]
    print(f"{args.folder.name}, {len(files)} photographs; medians, in brackets the worst\n")
    print("| method | colour in the sky | contrast | change by a bar |\n|---|---|---|---|")
    colours = [colour(*pair) for pair in zip(photographs, skies, strict=True)]
    print(f"| – | {statistics.median(colours):.0f} ({max(colours):.0f}) | 1 | – |")
    columns = [photographs]
    for method in args.methods:
        dehazer = Dehazer(method, ignore_rows=(0, 0))
        columns.append([dehazer(image)[0] for image in photographs])
        before = list(zip(photographs, skies, columns[-1], strict=True))
        colours = [colour(clear, sky) for _, sky, clear in before]
        contrasts = [deviation(clear, sky) / deviation(image, sky) for image, sky, clear in before]
        changes = [
            float((dehazer(with_bar(image))[0].int() - clear.int())[:, BAR:].abs().float().mean())
            for image, _, clear in before
        ]
        print(
            f"| `{method}` | {statistics.median(colours):.0f} ({max(colours):.0f}) "
            f"| {statistics.median(contrasts):.2f} ({min(contrasts):.2f}) "
            f"| {statistics.median(changes):.0f} ({max(changes):.0f}) |",
            flush=True,
        )
    if args.sheet:
        pictures: list[Image.Image] = [
            to_pil_image(image) for row in zip(*columns, strict=True) for image in row
        ]
        titles = ["fog", *args.methods]
        contact_sheet(pictures, len(titles), titles, cell_width=320).save(args.sheet)


def sky_of(image: Tensor) -> Tensor:
    """bool ``(H, W)``."""
    dark = dark_channel(image[None].float())[0, 0]
    return dark >= dark.flatten().kthvalue(int(0.8 * dark.numel())).values


def colour(image: Tensor, sky: Tensor) -> float:
    return float((image.amax(0) - image.amin(0))[sky].float().mean())


def deviation(image: Tensor, sky: Tensor) -> float:
    return max(float(image.float().mean(0)[~sky].std()), 1e-3)


def with_bar(image: Tensor) -> Tensor:
    return torch.cat([torch.full_like(image[:, :BAR], 255), image[:, BAR:]], dim=1)


if __name__ == "__main__":
    sys.exit(main())
