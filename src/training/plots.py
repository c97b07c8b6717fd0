"""The pictures of a job: how its metrics are distributed, and how some segments were and will be.

matplotlib without pyplot, which would keep state for the whole process, and drawn by Agg, which needs no display.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from training.highlights import View

_COLOURS = ("#1f5fa8", "#d9822b", "#8c8c8c")  # our own, stock Prophet's, seasonal naive's
_OWN, _OTHER, _FAINT = *_COLOURS[:2], "#6b6b6b"
_ACTUAL, _GRID = "#2b2b2b", "#e6e6e6"
_LONGEST_KEY = 30  # of a segment, above its plot
_DPI = 110

Floats = npt.NDArray[np.float64]


def draw_distributions(
    mase: Mapping[str, Floats], coverage: Floats, nominal: float, relative_bias: Floats, path: Path
) -> None:
    """Three panels: MASE as cumulative shares, coverage and bias as histograms.

    mase: finite values by whose they are: ours, stock Prophet's, seasonal naive's. nominal: the share that intervals
    are meant to cover.
    """
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    _cumulative(first, mase)
    second.set_xlabel("share of actuals inside the prediction interval")
    third.set_xlabel("bias / mean of |y|; the farthest 2% at the edges")
    _histogram(second, coverage, np.linspace(0, 1, 21), "coverage")
    _mark(second, nominal, f"nominal {nominal:.0%}", "")
    edge = _edge(relative_bias)
    _histogram(third, np.clip(relative_bias, -edge, edge), np.linspace(-edge, edge, 31), "bias")
    _mark(third, 0.0, "too low", "too high")
    _save(figure, path)


def draw_forecasts(views: Sequence[View], title: str, unit: str, path: Path) -> None:
    """A panel for each view, two a row. unit: what y is called."""
    rows = -(-len(views) // 2)
    figure = Figure(figsize=(13, 0.8 + 2.8 * rows), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    legend: dict[str, Artist] = {}
    for panel, view in zip(panels, views, strict=False):
        _draw_view(panel, view, unit)
        legend |= dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True))
    for panel in panels[len(views) :]:
        panel.remove()
    artists, labels = list(legend.values()), list(legend)
    figure.legend(artists, labels, loc="outside upper right", ncols=len(legend), frameon=False, fontsize=9)
    _save(figure, path)


def _cumulative(axes: Axes, mase: Mapping[str, Floats]) -> None:
    """One rising line for each; the further left, the better."""
    told = {name: np.sort(values) for name, values in mase.items() if len(values)}
    for (name, values), colour in zip(told.items(), _COLOURS, strict=False):
        shares = np.arange(1, len(values) + 1) / len(values)
        label = f"{name}: median {np.median(values):.2f}"
        axes.step(np.append(0.0, values), np.append(0.0, shares), where="post", color=colour, label=label)
    most = max((float(np.quantile(values, 0.95)) for values in told.values()), default=1.0)
    axes.set(xlim=(0, 1.15 * most or 1.0), ylim=(0, 1.02), xlabel="MASE", ylabel="share of segments up to there")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    if told:
        axes.legend(loc="lower right", fontsize=9, framealpha=0.85, edgecolor="none")
    _plain(axes, "accuracy: the further left, the better", both=True)


def _histogram(axes: Axes, values: Floats, edges: Floats, what: str) -> None:
    weights = np.full(len(values), 1.0 / max(1, len(values)))
    axes.hist(values, edges.tolist(), weights=weights, color=_OWN, alpha=0.85, edgecolor="white", linewidth=0.5)
    axes.set(xlim=(edges[0], edges[-1]), ylabel="share of segments")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6))
        axis.set_major_formatter(PercentFormatter(1.0))
    middle = f": median {np.median(values):.0%}" if len(values) else ""
    _plain(axes, f"{what} of {len(values):,} segments{middle}")


def _mark(axes: Axes, place: float, left: str, right: str) -> None:
    """A line at a place, with what it means on either side."""
    axes.axvline(place, color=_OTHER, linewidth=1.5, linestyle="--")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 1.12)
    for text, gap, side in ((left, -5, "right"), (right, 5, "left")):
        at = (place, 1.0), (gap, -2), ("data", "axes fraction"), "offset points"
        axes.annotate(text, *at, color=_OTHER, fontsize=9, ha=side, va="top")


def _edge(values: Floats) -> float:
    """How far both ways to draw: all but the farthest few, which are drawn at the edge."""
    return float(np.quantile(np.abs(values), 0.98)) * 1.05 if np.any(values) else 1.0


def _draw_view(axes: Axes, view: View, unit: str) -> None:
    axes.plot(view.ds, view.y, color=_ACTUAL, linewidth=1.0, marker=".", markersize=2.5, label="actual")
    for curve in view.backtests:
        label = "forecast at an earlier cutoff"
        axes.plot(curve.ds, curve.ahead.yhat, color=_OTHER, linewidth=1.4, label=label)
    if view.future is not None:
        ds, ahead = view.future.ds, view.future.ahead
        axes.fill_between(
            ds, ahead.lower, ahead.upper, color=_OWN, alpha=0.18, linewidth=0, label="prediction interval"
        )
        axes.plot(ds, ahead.yhat, color=_OWN, linewidth=1.6, label="forecast")
        axes.axvline(view.ds[-1], color=_FAINT, linewidth=0.8, linestyle=":")
    else:
        message = f"a forecast needs {', '.join(view.lacking)}"
        axes.annotate(message, (0.99, 0.96), xycoords="axes fraction", ha="right", va="top", color=_FAINT, fontsize=8)
    axes.set_ylim(*_limits(view))
    axes.set_ylabel(unit, fontsize=9, parse_math=False)
    axes.xaxis.set_major_locator(locator := AutoDateLocator(minticks=4, maxticks=8))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.xaxis.get_offset_text().set_fontsize(8.5)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    key = view.segment if len(view.segment) <= _LONGEST_KEY else f"{view.segment[: _LONGEST_KEY - 1]}…"
    axes.set_title(view.caption, loc="right", fontsize=8.5, color=_FAINT)
    _plain(axes, key)


def _limits(view: View) -> tuple[float, float]:
    """All of the actuals and forecasts, and of an interval as much as leaves them legible."""
    curves = [*view.backtests, *([view.future] if view.future is not None else [])]
    shown = np.concatenate([view.y, *(curve.ahead.yhat for curve in curves)])
    low, high = float(np.min(shown)), float(np.max(shown))
    room = (high - low) or abs(high) or 1.0
    if view.future is not None:
        low = max(float(np.min(view.future.ahead.lower, initial=low)), low - 0.6 * room)
        high = min(float(np.max(view.future.ahead.upper, initial=high)), high + 0.6 * room)
    return low - 0.05 * room, high + 0.05 * room


def _plain(axes: Axes, title: str, both: bool = False) -> None:
    """What all panels share."""
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", parse_math=False)
    axes.grid(axis="both" if both else "y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, color=_FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b0b0b0")


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a segment's key, which may be in any script
        FigureCanvasAgg(figure).print_figure(path, dpi=_DPI)
