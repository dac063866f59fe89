"""A flow at work: the same points after each of its steps, standing and moving."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from plot_style import PARTS, panels, picture_of, plane, save, window_of

SHOWN, MOVING = 5, 8  # states beside the first: of a picture, of an animation
POINTS = 1500
FRAMES, FRAMES_IN_ALL = 10, 96  # most from one state to the next, which deep flows have fewer of
MOVE, PAUSE, REST = 50, 500, 1500  # ms of a frame, of a state, and of the first and the last


class Way:
    """The same points in each state of the flow that is shown, in one direction."""

    def __init__(self, begin, end, states, colours):
        self.begin, self.end, self.states, self.colours = begin, end, states, colours
        self.name = f"from {begin} to {end}"

    def title(self, done):
        steps = max(self.states)
        if done in (0, steps):
            return self.end if done else self.begin
        return f"step {done} of {steps}"


def chosen(steps, most):
    """Evenly spread numbers of steps from none to all, at most `most` beside none."""
    return np.linspace(0, steps, min(steps, most) + 1).round().astype(int).tolist()


def ways_of(flow, data):
    """Both directions. The noise is that of samples: their latents."""
    points, drawn = data.points[:POINTS], flow.sample(POINTS)
    noise = flow.encode(drawn)
    counts = {*chosen(flow.steps, SHOWN), *chosen(flow.steps, MOVING)}
    return (Way("data", "latents", {k: flow.state_of_data(points, k) for k in counts},
                PARTS[data.part(points)]),
            Way("noise", "samples", {k: flow.state_of_latents(noise, k) for k in counts},
                PARTS[data.part(drawn)]))


def standing(flow, ways, window, path):
    counts = chosen(flow.steps, SHOWN)
    figure, rows = panels(len(counts), 16 / len(counts) + 0.5, rows=2)
    for way, row in zip(ways, rows):
        for done, axes in zip(counts, row):
            plane(axes, "", window, way.title(done))
            axes.scatter(*way.states[done].T, c=way.colours, s=0.8, linewidths=0)
            axes.set(xlabel="", ylabel="")
            axes.label_outer()
        row[0].set_ylabel(way.name.replace(" to ", "\nto "))
    return save(figure, path)


def moves(flow, way):
    """Places of the points, steps done and ms, frame by frame: straight from one state to the next,
    slowly at both ends."""
    counts = chosen(flow.steps, MOVING)
    frames = min(FRAMES, FRAMES_IN_ALL // (2 * len(counts) - 2))
    eased = (1 - np.cos(np.pi * np.arange(1, frames) / frames)) / 2
    yield way.states[0], 0, REST
    for before, after in zip(counts, counts[1:]):
        start, move = way.states[before], way.states[after] - way.states[before]
        yield from ((start + share * move, after, MOVE) for share in eased)
        yield way.states[after], after, REST if after == flow.steps else PAUSE


def palette(colours):
    """White, and black and the points' colours in the shades of their edges: the same in all
    frames, so that a frame holds only what has changed."""
    inks = 255 * np.array([to_rgb(c) for c in ("black", *np.unique(colours))])
    shades = 255 + np.arange(1, 8)[:, None, None] / 7 * (inks - 255)
    image = Image.new("P", (1, 1))
    image.putpalette([255] * 3 + shades.round().astype(int).ravel().tolist())
    return image


def moving(flow, ways, window, path):
    figure = plt.figure(figsize=(4.8, 5), dpi=100)
    axes = figure.add_axes([0.08, 0.06, 0.9, 0.864])
    plane(axes, "", window)
    axes.set(xlabel="", ylabel="")
    dots = axes.scatter([], [], s=4, linewidths=0)
    frames, times = [], []
    for way in ways:
        dots.set_color(way.colours)
        for points, done, ms in moves(flow, way):
            dots.set_offsets(points)
            axes.set_title(f"{way.name}: step {done} of {flow.steps}", loc="left")
            frames.append(picture_of(figure).quantize(palette=palette(ways[0].colours),
                                                      dither=Image.Dither.NONE))
            times.append(ms)
    plt.close(figure)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0)
    return path


def draw(flow, data, folder):
    ways = ways_of(flow, data)
    window = window_of(np.concatenate([x for way in ways for x in way.states.values()]), 0.998, 1.1)
    yield standing(flow, ways, window, folder / "steps.png")
    yield moving(flow, ways, window, folder / "steps.gif")
