"""How the pictures of a flow look."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

# Okabe and Ito's, which colour-blind people tell apart.
BLUE, ORANGE = "#0072B2", "#D55E00"
PARTS = np.array([BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B8A800"])
GREY = "#B0B0B0"
POINTS = {"s": 2.5, "linewidths": 0}


def panels(count, height, rows=1):
    """A figure as wide as a page shows it, and its panels."""
    return plt.subplots(rows, count, figsize=(8, height), dpi=150, layout="compressed")


def plane(axes, name, window, title=""):
    """Axes over a plane; a window is (left, right, bottom, top)."""
    axes.set(xlim=window[:2], ylim=window[2:], aspect="equal", xlabel=f"${name}_1$",
             ylabel=f"${name}_2$")
    axes.set_title(title, fontsize="medium")


def window_of(points, share=0.999, room=1.15):
    """A square around all points but the outermost."""
    low, high = np.quantile(points, [1 - share, share], axis=0)
    half = room * (high - low).max() / 2
    middle = (low + high) / 2
    return (middle[0] - half, middle[0] + half, middle[1] - half, middle[1] + half)


def picture_of(figure):
    figure.canvas.draw()
    return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])


def save(figure, path, colours=64):
    """Few colours are a third of the bytes, and enough for dots and lines."""
    picture_of(figure).quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
    plt.close(figure)
    return path
