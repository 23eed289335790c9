"""Pictures of what a dehazing method found: transmission, airlight, K."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from torch import Tensor

TITLES = {
    "transmission": "transmission t",
    "coarse": "transmission, coarse network",
    "k": "K (mean of channels)",
}


def draw_maps(hazy: Tensor, clear: Tensor, maps: Mapping[str, Tensor]) -> Image.Image:
    """Hazy picture, dehazed picture and each map side by side, the maps with a colour scale, the
    airlight as a patch.

    Args:
        hazy: ``(3, H, W)``, uint8 or floats in [0, 1].
        clear: the same, dehazed.
        maps: of this single image, as ``dehaze(…, return_maps=True)`` gives them.

    Returns:
        An RGB picture, about 320 pixels of width per panel.
    """
    # no pyplot: it looks for a display and keeps figures alive
    from matplotlib.figure import Figure

    scalars = {
        name: value.float().mean(dim=0).cpu().numpy()
        for name, value in maps.items()
        if value.ndim == 3
    }
    airlight = maps["airlight"].cpu().numpy().clip(0, 1) if "airlight" in maps else None
    panels = 2 + len(scalars) + (airlight is not None)
    height, width = hazy.shape[-2:]
    tall = min(max(3.2 * height / width, 1.0), 8.0)
    figure = Figure(figsize=(3.2 * panels, tall + 0.5), layout="constrained")
    axes = iter(figure.subplots(1, panels))
    for title, image in (("hazy", hazy), ("dehazed", clear)):
        pixels = image.permute(1, 2, 0).cpu().numpy()
        _panel(next(axes), title).imshow(
            pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32).clip(0, 1)
        )
    for name, values in scalars.items():
        ax = _panel(next(axes), TITLES[name])
        shown = ax.imshow(values, cmap="viridis", vmin=0, vmax=max(1.0, float(values.max())))
        figure.colorbar(shown, ax=ax, shrink=0.8)
    if airlight is not None:
        ax = _panel(next(axes), "airlight A: " + " ".join(f"{value:.2f}" for value in airlight))
        ax.imshow(np.broadcast_to(airlight, (height, width, 3)))
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    return Image.open(data).convert("RGB")


def _panel(axes, title: str):
    axes.set_title(title, fontsize="small")
    axes.set_axis_off()
    return axes
