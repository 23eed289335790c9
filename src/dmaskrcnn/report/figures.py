"""Figures as SVG text within the page: drawn by matplotlib, coloured by the page's own CSS, so that
they follow its theme."""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from html import escape, unescape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# inches, 270 pt: on a phone a figure fills the screen and its 9 pt letters are 12 px high
WIDTH = 3.75
SERIES = 8  # colours that the page's CSS defines

# Placeholders that become CSS variables: matplotlib writes colours as it gets them.
INK, FAINT, GRID = "#010101", "#020202", "#030303"
CLEAR, HAZY, PAPER = "#040404", "#050505", "#060606"
_VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", CLEAR: "clear", HAZY: "hazy"}
_VARIABLES |= {PAPER: "paper", "#000000": "ink"}  # black: matplotlib's default

DASHES = {
    "none": "-",
    "dark-channel": ":",
    "dark-channel-robust": (0, (1, 3)),
    "mscnn": "--",
    "mscnn-released": (0, (5, 1, 1, 1, 1, 1)),
    "mscnn-robust": (0, (5, 1, 1, 1)),
    "aod-net": "-.",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's font and for its search
    "svg.hashsalt": "dmaskrcnn",  # the ids, else random: the same figures make the same page
    "text.parse_math": False,  # a name may hold dollar signs
    "font.size": 9,
    "font.family": "sans-serif",
    "lines.linewidth": 1.5,
    "grid.color": GRID,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), FAINT),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor"), "none"),
    **dict.fromkeys(("axes.grid", "axes.axisbelow", "figure.constrained_layout.use"), True),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
}


def series_colour(index: int) -> str:
    """The placeholder of the colour of the ``index``-th series."""
    return f"#0000{index % SERIES + 1:02x}"


def render(draw: Callable[[Axes], object], caption: str, height: float = 2.5) -> str:
    """A ``<figure>`` with what ``draw`` puts on the axes.

    Artists with a gid ``series-…`` become groups with that ``data-series``, which the page's
    legends show and hide.

    Args:
        draw: called with matplotlib's axes.
        caption: HTML.
        height: in inches, for a width of `WIDTH`.
    """
    import matplotlib as mpl

    # no pyplot: it looks for a display and keeps figures alive
    from matplotlib.figure import Figure

    text = io.StringIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # letters that matplotlib's own font lacks: the browser has them
        warnings.filterwarnings("ignore", "Glyph")
        figure = Figure(figsize=(WIDTH, height))
        draw(figure.subplots())
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", metadata=nothing)
    label = escape(unescape(re.sub("<[^>]*>", "", caption)))
    return f"<figure><figcaption>{caption}</figcaption>{_for_page(text.getvalue(), label)}</figure>"


def legend(entries: Sequence[tuple[str, str, str, object]]) -> str:
    """Buttons that show and hide series in the figures around them.

    Args:
        entries: series (without ``series-``), name, colour placeholder and line style of each.
    """
    arrays = {":": "1 2", "--": "5 2", "-.": "5 2 1 2", "-": "none"}
    buttons = []
    for series, name, colour, style in entries:
        array = arrays.get(style, "5 1 1 1") if isinstance(style, str) else "5 1 1 1 1 1"
        stroke = f'stroke="{_css(colour)}" stroke-dasharray="{array}"'
        line = f'<svg viewBox="0 0 26 8" aria-hidden="true"><path d="M0 4H26" {stroke}/></svg>'
        key = f'aria-pressed="true" data-key="series-{series}"'
        buttons.append(f'<button type="button" {key}>{line}{escape(name)}</button>')
    return f'<div class="legend">{"".join(buttons)}</div>'


def _for_page(svg: str, label: str) -> str:
    """The ``<svg>`` element alone, in the page's colours and fonts, with ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.S)
    svg = re.sub(r' id="(series-[^"]*)"', r' data-series="\1"', svg)
    # Every figure calls its clip path "p1…", its first group "figure_1": ids are one per page.
    prefix = f"f{zlib.crc32(svg.encode()):08x}-"
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{prefix}", svg)
    svg = re.sub(r"#[0-9a-f]{6}\b", lambda match: _css(match[0]), svg)
    svg = re.sub(r"font: ([\d.]+)px[^;\"]*", r"font-size: \1px", svg)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    names = f'xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]} role="img" aria-label="{label}"'
    return re.sub(r"\n\s*", "\n", f"<svg {names}>{rest}").strip()


def _css(colour: str) -> str:
    if colour in _VARIABLES:
        return f"var(--{_VARIABLES[colour]})"
    series = re.fullmatch("#0000([0-9a-f]{2})", colour)
    return f"var(--s{int(series[1], 16) - 1})" if series else colour
