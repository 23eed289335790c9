"""Images per second of each dehazing method against a straightforward peer of it, in one run; PSNR
and SSIM on pairs.

    uv run python benchmarks/dehaze.py                                     # 640 x 480, about 20 s
    uv run python benchmarks/dehaze.py --size 96 128 --rounds 2            # a tiny run
    uv run python benchmarks/dehaze.py --rounds 0 --pairs SOTS/ --mscnn mscnn.safetensors

Each timing is of a uint8 picture to a uint8 picture, our method and its peer in turn, so that
whatever else the machine does hits both. Peers have the same weights: for the networks, their
layers as published, one after the other, in float32 PyTorch; for the dark channel the usual script
of erode, sort and guided filter, with OpenCV where it is installed and SciPy otherwise. ``--pairs``
names a folder with ``hazy/`` and ``clear/`` (same file names).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from quality import psnr, ssim
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from dmaskrcnn.config.dehazers import DEHAZERS
from dmaskrcnn.data.image import decode_image
from dmaskrcnn.dehazing import Dehazer, dark_channel, mscnn
from dmaskrcnn.dehazing.aodnet import AODNet
from dmaskrcnn.dehazing.mscnn import MSCNN, ScaleNetwork
from dmaskrcnn.demo import render_scene
from dmaskrcnn.draw import contact_sheet
from dmaskrcnn.haze import through_haze

METHODS = ("aod-net", "dark-channel", "mscnn")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(480, 640), metavar=("HEIGHT", "WIDTH")
    )
    parser.add_argument(
        "--rounds", type=int, default=15, help="timed calls of each, after two to warm up"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mscnn", type=Path, help="weights of MSCNN; default: the project's own")
    parser.add_argument(
        "--aod-net", type=Path, help="weights of AOD-Net; default: the project's own"
    )
    parser.add_argument("--pairs", type=Path, help="folder with hazy/ and clear/, to score")
    parser.add_argument(
        "--sheet", type=Path, help="draw what each method makes of rendered scenes, into this .jpg"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    weights = {
        name: {"mscnn": args.mscnn, "aod-net": args.aod_net}.get(dehazer.network)
        for name, dehazer in DEHAZERS.items()
    }
    if args.rounds:
        speed(args, weights)
    if args.pairs:
        quality(args.pairs, weights)
    if args.sheet:
        sheet(args.sheet, weights)


def speed(args: argparse.Namespace, weights: dict[str, Path | None]) -> None:
    image = hazy_scene(*args.size)
    print(
        f"{args.size[1]} x {args.size[0]}, {args.threads} threads, torch {torch.__version__}, "
        f"medians of {args.rounds}\n"
    )
    print(
        "| method | images/s | peer | images/s of peer | ratio, call by call | processor time, "
        "ratio | largest difference |"
    )
    print("|---|---|---|---|---|---|---|")
    for method in METHODS:
        ours = Dehazer(method, weights.get(method))
        peer, name = peer_of(ours)
        calls: dict[str, Callable[[], Tensor]] = {
            "ours": lambda d=ours: d(image)[0],
            "peer": lambda p=peer: p(image),
        }
        times: dict[str, list[tuple[float, float]]] = {"ours": [], "peer": []}
        with torch.inference_mode():
            for turn in range(-2, args.rounds):
                for who, call in calls.items():
                    wall, processor = time.perf_counter(), time.process_time()
                    call()
                    if turn >= 0:
                        times[who].append(
                            (time.perf_counter() - wall, time.process_time() - processor)
                        )
            difference = int((calls["ours"]().int() - calls["peer"]().int()).abs().max())
        wall = {who: statistics.median(t[0] for t in ts) for who, ts in times.items()}
        ratios = [
            statistics.median(
                b[i] / a[i] for a, b in zip(times["ours"], times["peer"], strict=True)
            )
            for i in (0, 1)
        ]
        rates = f"{1 / wall['ours']:.1f} | {name} | {1 / wall['peer']:.1f}"
        print(f"| {method} | {rates} | {ratios[0]:.2f} | {ratios[1]:.2f} | {difference}/255 |")


def sheet(out: Path, weights: dict[str, Path | None]) -> None:
    """Rendered streets in clear air, in haze, and dehazed by each method."""
    pictures = []
    for seed in (3, 8):
        hazy = hazy_scene(216, 320, seed)
        pictures += [Image.fromarray(render_scene(seed, 216, 320).image), to_pil_image(hazy)]
        pictures += [
            to_pil_image(Dehazer(method, weights.get(method))(hazy)[0]) for method in METHODS
        ]
    contact_sheet(pictures, 2 + len(METHODS), ["clear air", "haze", *METHODS], cell_width=320).save(
        out, quality=88
    )


def hazy_scene(height: int, width: int, seed: int = 3) -> Tensor:
    """A rendered street behind thick haze, uint8 ``(3, H, W)``."""
    scene = render_scene(seed, height, width)
    t = np.exp(-0.03 * np.minimum(scene.depth, 300))[..., None]
    hazy = through_haze(scene.image.astype(float), t, 255 * np.array([0.83, 0.85, 0.87]))
    return torch.from_numpy(hazy.round().astype(np.uint8)).permute(2, 0, 1).contiguous()


def quality(folder: Path, weights: dict[str, Path | None]) -> None:
    files = sorted((folder / "hazy").iterdir())
    pairs = [(decode_image(path), decode_image(folder / "clear" / path.name)) for path in files]
    print(
        f"\n{folder.name}, {len(pairs)} pairs\n\n| method | weights | PSNR, dB | SSIM | least "
        "gain, dB |\n|---|---|---|---|---|"
    )
    before = [psnr(hazy, clear) for hazy, clear in pairs]
    print(
        f"| hazy | – | {statistics.mean(before):.2f} | "
        f"{statistics.mean(ssim(*pair) for pair in pairs):.3f} | – |"
    )
    for method in DEHAZERS:
        dehazer = Dehazer(method, weights.get(method))
        results = [(dehazer(hazy)[0], clear) for hazy, clear in pairs]
        after = [psnr(*pair) for pair in results]
        least = min(a - b for a, b in zip(after, before, strict=True))
        name = (
            "–" if dehazer.weights is None else dehazer.weights.name if weights[method] else "own"
        )
        scores = (
            f"{statistics.mean(after):.2f} | {statistics.mean(ssim(*pair) for pair in results):.3f}"
        )
        print(f"| {method} | {name} | {scores} | {least:+.2f} |")


# --- the peers ------------------------------------------------------------------------------------


def peer_of(dehazer: Dehazer) -> tuple[Callable[[Tensor], Tensor], str]:
    if isinstance(dehazer.network, AODNet):
        aod = dehazer.network
        return lambda image: plain_aod_net(aod, image), "PyTorch, as published"
    if isinstance(dehazer.network, MSCNN):
        network = dehazer.network
        guided = scipy_guided_filter
        return lambda image: plain_mscnn(network, image, guided), "PyTorch, as published; SciPy"
    if find_spec("cv2"):
        return lambda image: plain_dark_channel(image, opencv_minimum, opencv_mean), "OpenCV"
    return lambda image: plain_dark_channel(image, scipy_minimum, scipy_mean), "SciPy"


def plain_aod_net(network: AODNet, image: Tensor) -> Tensor:
    hazy = image[None].float() / 255
    one, two, three, four, five = network.convolutions
    x1 = F.relu(one(hazy))
    x2 = F.relu(two(x1))
    x3 = F.relu(three(torch.cat([x1, x2], 1)))
    x4 = F.relu(four(torch.cat([x2, x3], 1)))
    k = F.relu(five(torch.cat([x1, x2, x3, x4], 1)))
    return (F.relu(k * hazy - k + 1).clamp(0, 1) * 255).round().to(torch.uint8)[0]


def plain_scale_network(network: ScaleNetwork, x: Tensor, guess: Tensor | None) -> Tensor:
    for index, convolution in enumerate(network.convolutions):
        x = convolution(x)
        if index == 0 and guess is not None:
            x[:, -1:] = guess
        x = F.interpolate(F.max_pool2d(F.relu(x), 2), scale_factor=2, mode="nearest")
        if index < 2:
            x = F.local_response_norm(x, size=5, alpha=5 * mscnn.ALPHA, beta=0.75, k=1.0)
    return torch.sigmoid(network.combination(x))


def plain_mscnn(network: MSCNN, image: Tensor, guided: Callable[..., np.ndarray]) -> Tensor:
    hazy = image[None].float() / 255
    pixels = hazy[0].numpy()
    airlight = np.array([scipy_minimum(channel, 15).max() for channel in pixels], np.float32)[
        :, None, None
    ]
    balanced = hazy / torch.from_numpy(airlight)
    coarse = mscnn.enlarge(
        F.max_pool2d(plain_scale_network(network.coarse, balanced, None), 2), hazy.shape[-2:]
    )
    fine = plain_scale_network(network.fine, balanced, None if network.released else coarse)
    t = mscnn.enlarge(F.max_pool2d(fine, 2), hazy.shape[-2:])[0, 0].numpy()
    luma = np.tensordot(np.array([0.2989, 0.5870, 0.1140]), pixels, 1)
    d2 = (luma - float(np.dot([0.2989, 0.5870, 0.1140], airlight.ravel()))) ** 2
    s = guided(luma, (d2 + 0.1 / t) / (d2 + 0.1), min(luma.shape) // 8, 0.04, scipy_mean)
    return to_uint8((pixels - airlight) / np.clip(1 / s, 0.1, 0.9) + airlight)


def plain_dark_channel(
    image: Tensor, minimum: Callable[..., np.ndarray], mean: Callable[..., np.ndarray]
) -> Tensor:
    hazy = image.numpy().astype(np.float32) / 255
    dark = minimum(hazy.min(axis=0), dark_channel.PATCH)
    count = max(1, round(dark_channel.AIRLIGHT_SHARE * dark.size))
    haziest = hazy.reshape(3, -1)[:, np.argsort(dark.ravel())[-count:]]
    airlight = haziest[:, haziest.sum(axis=0).argmax()][:, None, None]
    t = 1 - dark_channel.OMEGA * minimum((hazy / airlight).min(axis=0), dark_channel.PATCH)
    luma = np.tensordot(np.array([0.2989, 0.5870, 0.1140]), hazy, 1)
    t = scipy_guided_filter(luma, t, dark_channel.RADIUS, dark_channel.EPSILON, mean)
    return to_uint8((hazy - airlight) / np.clip(t, dark_channel.T_MIN, 1) + airlight)


def to_uint8(image: np.ndarray) -> Tensor:
    return torch.from_numpy((image.clip(0, 1) * 255).round().astype(np.uint8))


def scipy_guided_filter(
    guide: np.ndarray,
    image: np.ndarray,
    radius: int,
    epsilon: float,
    mean: Callable[..., np.ndarray],
) -> np.ndarray:
    share = mean(np.ones_like(guide, dtype=np.float64), radius)  # windows are cut at the border

    def window(values: np.ndarray) -> np.ndarray:
        return mean(values.astype(np.float64), radius) / share

    guide_mean, image_mean = window(guide), window(image)
    slope = (window(guide * image) - guide_mean * image_mean) / (
        window(guide * guide) - guide_mean**2 + epsilon
    )
    return window(slope) * guide + window(image_mean - slope * guide_mean)


def scipy_mean(values: np.ndarray, radius: int) -> np.ndarray:
    from scipy.ndimage import uniform_filter

    return uniform_filter(values, 2 * radius + 1, mode="constant")


def scipy_minimum(values: np.ndarray, size: int) -> np.ndarray:
    from scipy.ndimage import minimum_filter

    return minimum_filter(values, size, mode="reflect")


def opencv_mean(values: np.ndarray, radius: int) -> np.ndarray:
    import cv2  # pyright: ignore[reportMissingImports]

    return cv2.boxFilter(values, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_CONSTANT)


def opencv_minimum(values: np.ndarray, size: int) -> np.ndarray:
    import cv2  # pyright: ignore[reportMissingImports]

    return cv2.erode(values, np.ones((size, size), np.uint8))


if __name__ == "__main__":
    sys.exit(main())
