"""What a flow on vectors of two numbers has learned: samples, latents, a bent grid, densities."""

import numpy as np

from plot_run import COUNT
from plot_style import BLUE, GREY, ORANGE, PARTS, POINTS, panels, plane, save, window_of

LINES, ALONG = 13, 800  # of a grid each way, and points on a line
CELLS = 280  # of a heat map each way
DEEPEST = 10.0  # nats below the highest density that a heat map tells apart


def latent_half(flow):
    """Half the width of a window over the latents: nearly all of the prior lies inside."""
    return 8.0 if flow.prior == "logistic" else 4.0


def latent_window(flow):
    half = latent_half(flow)
    return (-half, half, -half, half)


def prior_contours(axes, flow):
    """Lines inside which half, 90 % and 99 % of the prior lie."""
    side = np.linspace(-2, 2, 801) * latent_half(flow)
    one = -side**2 / 2 if flow.prior == "gaussian" else -side - 2 * np.log1p(np.exp(-side))
    density = np.exp(one[:, None] + one)
    falling = np.sort(density.ravel())[::-1]
    inside = np.cumsum(falling) / falling.sum()
    levels = {falling[np.searchsorted(inside, share)]: f"{share:.0%}" for share in (0.99, 0.9, 0.5)}
    lines = axes.contour(side, side, density, list(levels), colors="black", linewidths=1)
    upward = [(corner, corner) for corner in (latent_half(flow) * np.array([0.6, 0.4, 0.2]))]
    labels = axes.clabel(lines, fmt=levels, fontsize="small", manual=upward)
    for label in labels:
        label.set(rotation=0, bbox={"facecolor": "white", "linewidth": 0, "pad": 1})


def samples(flow, data, folder):
    drawn = flow.sample(COUNT)[:, :2]
    points = data.points[:, :2]
    figure, (left, right) = panels(2, 4.1)
    note = "" if flow.dims == 2 else f", first two of {flow.dims} numbers"
    for axes, title in ((left, "Data"), (right, "Samples, over the data")):
        plane(axes, "x", window_of(points), title + note)
    left.scatter(*points.T, color=BLUE, **POINTS)
    right.scatter(*points.T, color=BLUE, alpha=0.35, **POINTS)
    right.scatter(*drawn.T, color=ORANGE, **POINTS)
    return save(figure, folder / "samples.png")


def latents(flow, data, folder):
    colours = PARTS[data.part(data.points)]
    prior = "logistic" if flow.prior == "logistic" else "Gaussian"
    figure, (left, right) = panels(2, 4.1)
    plane(left, "x", window_of(data.points), "Data")
    plane(right, "z", latent_window(flow), f"Their latents and the unit {prior}")
    left.scatter(*data.points.T, color=colours, **POINTS)
    right.scatter(*flow.encode(data.points).T, color=colours, **POINTS)
    prior_contours(right, flow)
    return save(figure, folder / "latents.png")


def straight_lines(window):
    """Points on upright and on level lines, [2, LINES, ALONG, 2]."""
    x, y = np.linspace(*window[:2], LINES), np.linspace(*window[2:], LINES)
    along_x, along_y = np.linspace(*window[:2], ALONG), np.linspace(*window[2:], ALONG)
    upright = np.stack(np.broadcast_arrays(x[:, None], along_y), -1)
    level = np.stack(np.broadcast_arrays(along_x, y[:, None]), -1)
    return np.stack([upright, level])


def bent(axes, lines, through):
    for curves, colour in zip(through(lines.reshape(-1, 2)).reshape(lines.shape), (BLUE, ORANGE)):
        axes.plot(*curves.T, color=colour, linewidth=0.7)


def grid(flow, data, folder):
    figure, (left, right) = panels(2, 4.1)
    window = window_of(data.points)
    plane(left, "x", window, "A straight grid of latents, decoded")
    plane(right, "z", latent_window(flow), "A straight grid over the data, encoded")
    left.scatter(*data.points.T, color=GREY, **POINTS)
    right.scatter(*flow.encode(data.points).T, color=GREY, **POINTS)
    bent(left, straight_lines(0.75 * np.array(latent_window(flow))), flow.decode)
    bent(right, straight_lines(window), flow.encode)
    return save(figure, folder / "grid.png")


def density(flow, data, folder):
    window = window_of(data.points)
    x, y = (low + (np.arange(CELLS) + 0.5) * (high - low) / CELLS
            for low, high in (window[:2], window[2:]))
    places = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    log_p = flow.log_prob(places).reshape(CELLS, CELLS)
    inside = np.exp(log_p).mean() * (window[1] - window[0]) * (window[3] - window[2])
    figure, (left, right) = panels(2, 3.5)
    plane(left, "x", window, "log p(x) in nats")
    plane(right, "x", window, f"p(x); integral over this window {inside:.3f}")
    shown = {"origin": "lower", "extent": window, "cmap": "viridis"}
    deep = left.imshow(log_p, vmin=log_p.max() - DEEPEST, **shown)
    figure.colorbar(deep, cax=left.inset_axes([1.03, 0, 0.04, 1]), extend="min")
    flat = right.imshow(np.exp(log_p), vmin=0, **shown)
    figure.colorbar(flat, cax=right.inset_axes([1.03, 0, 0.04, 1]))
    return save(figure, folder / "density.png", colours=256)
