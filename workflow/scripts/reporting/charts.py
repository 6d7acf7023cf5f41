"""Charts as inline SVG: colours are the page's own variables, so they follow light, dark and print."""

import json
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import vl_convert
from altair.utils import schemapi
from markupsafe import Markup

Points = list[dict[str, Any]]
Chart = alt.LayerChart | alt.FacetChart | alt.HConcatChart

# colours no one would choose, replaced by the page's variables once drawn
INK, LINE, MUTED, BAND = "#010101", "#020202", "#030303", "#040404"
SERIES: Final = tuple(f"#0501{i:02x}" for i in range(8))
VARIABLES: Final = {
    INK: "var(--ink)", LINE: "var(--line)", MUTED: "var(--muted)", BAND: "var(--band)",
    **{colour: f"var(--s{i})" for i, colour in enumerate(SERIES)},
}  # fmt: skip
DASHES: Final = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (1, 0), (6, 3), (2, 2), (8, 3, 2, 3))
# marks of sites, as outlines between -1 and 1: circle, square, triangle, diamond, its other way up, cross
MARKS: Final = (
    "M-1,0a1,1 0 1,0 2,0a1,1 0 1,0 -2,0z", "M-.9,-.9h1.8v1.8h-1.8z", "M0,-1.1L1.15,.9L-1.15,.9z",
    "M0,-1.3L1.1,0L0,1.3L-1.1,0z", "M0,1.1L1.15,-.9L-1.15,-.9z",
    "M-1.2,-.4h.8v-.8h.8v.8h.8v.8h-.8v.8h-.8v-.8h-.8z",
)  # fmt: skip
WIDTH, HEIGHT = 300, 240
# the page's font may be wider than the one the labels were measured in
PADDING: Final = {"left": 22, "right": 6, "top": 4, "bottom": 2}


@dataclass(frozen=True)
class Figure:
    """A chart as Vega-Lite's JSON, what it shows in words, and the file it was made from."""

    title: str
    description: str
    source: str
    name: str
    spec: str

    @property
    def svg(self) -> Markup:
        """Draw it with the page's own colours and font."""
        svg = vl_convert.vegalite_to_svg(json.loads(self.spec))
        svg = re.sub(r'(id="|url\(#)', rf"\g<1>{self.name}-", svg)  # several drawings share one page
        svg = re.sub(r' width="([\d.]+)" height="[\d.]+"', _bounded, svg, count=1)
        # on hover
        svg = re.sub(r'<path aria-label="([^"]+)"([^>]*)/>', r"<path\2><title>\1</title></path>", svg)
        svg = re.sub(r' (role|aria-[a-z]+)="[^"]*"', "", svg)
        for placeholder, variable in VARIABLES.items():
            svg = svg.replace(placeholder, variable)
        svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)
        return Markup(svg)  # noqa: S704 - Vega escaped the names in it


def data(points: Points) -> alt.Data:
    """Wrap plain rows."""
    return alt.Data(values=tuple(points))  # whatever makes one chart of another would copy each row of a list


def colour(strategies: list[str], field: str = "strategy") -> alt.Color:
    """Colour by strategy; the legend stands beside the charts, once."""
    order = [SERIES[i % len(SERIES)] for i in range(len(strategies))]
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=strategies, range=order), legend=None)


def dash(strategies: list[str], field: str = "strategy") -> alt.StrokeDash:
    """Dash by strategy, for readers and printers without colour."""
    order = [list(DASHES[i % len(DASHES)]) for i in range(len(strategies))]
    return alt.StrokeDash(f"{field}:N", scale=alt.Scale(domain=strategies, range=order), legend=None)


def mark(names: list[str], field: str) -> alt.Shape:
    """Give each name an outline of its own, for readers and printers without colour."""
    order = [MARKS[i % len(MARKS)] for i in range(len(names))]
    return alt.Shape(f"{field}:N", scale=alt.Scale(domain=names, range=order), legend=None)


def draw(chart: Chart, name: str, *, title: str, description: str, source: str) -> Figure:
    """Settle what a chart looks like, but for its colours."""
    spec = _styled(chart).to_dict(validate=schemapi.DEBUG_MODE)
    return Figure(title, description, source, name, json.dumps(spec))


def unchecked() -> AbstractContextManager[None]:
    """Hold no chart against Vega-Lite's schema, which takes half the time; tests do."""
    return schemapi.debug_mode(False)


def _bounded(size: re.Match[str]) -> str:
    # as wide as its column, and a little larger than drawn at most
    return f' style="max-width:{float(size[1]) * 1.15:.0f}px"'


def _styled(chart: Chart) -> Chart:
    return (
        chart.configure(background="transparent", font="sans-serif", padding=PADDING)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=MUTED, titleColor=INK, titleFontWeight="normal", gridColor=LINE, domainColor=LINE,
            tickColor=LINE, labelOverlap="greedy", labelSeparation=6, labelFontSize=11, titleFontSize=12,
            titlePadding=6, labelLimit=240,
        )
    )  # fmt: skip
