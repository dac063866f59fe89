"""The pictures of the zoo's page, each a file of the folder that it is drawn from."""

import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import plot_style  # noqa: E402
from plot_style import BLUE, GREY, ORANGE, plt  # noqa: E402

TITLES = {"rbm": "RBM", "vae": "VAE", "gan": "GAN", "nice": "NICE", "realnvp": "RealNVP",
          "glow": "Glow's 1x1", "maf": "MAF"}
GAMES = ["kl", "reverse_kl", "pearson", "hellinger", "jensen_shannon", "gan"]
FLOWS = ["nice", "realnvp", "glow", "maf"]
LOG4 = np.log(4)


class Results:
    """What the programs wrote into a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.records = [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]

    def of(self, model, data):
        return next((one for one in self.records if (one["model"], one["data"]) == (model, data)),
                    None)

    def table(self, model, data, name):
        return np.load(self.folder / f"{model}-{data}-{name}.npy")

    def games(self, data):
        return [f"fgan_{name}" for name in GAMES if self.of(f"fgan_{name}", data)]

    def models(self, data):
        """In the page's order."""
        wanted = ["rbm", "vae", "gan", *self.games(data), *FLOWS]
        return [model for model in wanted if self.of(model, data)]

    def title(self, model):
        if model in TITLES:
            return TITLES[model]
        record = next(one for one in self.records if one["model"] == model)
        return "f-GAN, " + record["divergence"]


def save(results, figure, name, colours=64):
    return plot_style.save(figure, results.folder / f"{name}.png", colours)


def bare(axes, title, window=(-2.6, 2.6)):
    axes.set(xlim=window, ylim=window, aspect="equal", xticks=[], yticks=[])
    axes.set_title(title, fontsize="small")


def scatter(axes, points, title, colour=BLUE):
    axes.scatter(*points.T, color=colour, **plot_style.POINTS)
    bare(axes, title)


def montage(images, columns):
    """Images [N, 64] of 0..16 or 0..1 side by side, a line of white between them."""
    images = images / (16 if images.max() > 1.5 else 1)
    rows = len(images) // columns
    sheet = np.zeros((rows * 9 + 1, columns * 9 + 1))
    for i, image in enumerate(images[: rows * columns]):
        top, left = i // columns * 9 + 1, i % columns * 9 + 1
        sheet[top:top + 8, left:left + 8] = 0.06 + 0.94 * image.reshape(8, 8).clip(0, 1)
    return sheet


def show_images(axes, images, columns, title):
    axes.imshow(montage(images, columns), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(title, fontsize="small")
    for side in axes.spines.values():
        side.set_visible(False)


def moons_samples(results, data):
    models = results.models("moons")
    figure, axes = plot_style.panels(5, 1.75 * -(-(len(models) + 1) // 5),
                                     rows=-(-(len(models) + 1) // 5))
    axes = axes.ravel()
    scatter(axes[0], data[:1000], "data", ORANGE)
    for one, model in zip(axes[1:], models):
        scatter(one, results.table(model, "moons", "samples"), results.title(model))
    for one in axes[len(models) + 1:]:
        one.set_axis_off()
    return save(results, figure, "moons-samples")


def digits_samples(results):
    models = results.models("digits")
    rows = -(-(len(models) + 1) // 5)
    figure, axes = plot_style.panels(5, 1.75 * rows, rows=rows)
    axes = axes.ravel()
    show_images(axes[0], np.load(results.folder / "digits_test.npy")[:36], 6, "data")
    for one, model in zip(axes[1:], models):
        kind = "means" if model in ("rbm", "vae") else "samples"
        show_images(one, results.table(model, "digits", kind)[:36], 6, results.title(model))
    for one in axes[len(models) + 1:]:
        one.set_axis_off()
    return save(results, figure, "digits-samples")


def rbm_density(results, data):
    figure, axes = plot_style.panels(3, 2.7)
    scatter(axes[0], data[:1000], "data", ORANGE)
    axes[1].imshow(results.table("rbm", "moons", "density"), origin="lower", cmap="Blues",
                   extent=(-2.5, 2.5, -2.5, 2.5), vmax=1)
    bare(axes[1], "p(v) of all 4,096 states, exact")
    scatter(axes[2], results.table("rbm", "moons", "samples"), "1,000 Gibbs chains, 1,000 steps")
    return save(results, figure, "rbm-density")


def chain(results, model, steps, title):
    """Rows of digits: a chain each, further along from left to right."""
    images = results.table(model, "digits", "chain").reshape(len(steps), -1, 64)
    figure, axes = plt.subplots(figsize=(8, 0.72 * images.shape[1] + 0.4), dpi=150,
                                layout="compressed")
    show_images(axes, images.transpose(1, 0, 2).reshape(-1, 64), len(steps), title)
    axes.set_xticks(np.arange(len(steps)) * 9 + 4.5, [str(step) for step in steps])
    axes.tick_params(length=0)
    return save(results, figure, f"{model}-chain-digits")


def vae_dynamics(results, rounds):
    points = results.table("vae", "moons", "chain").reshape(len(rounds), -1, 2)
    shown = [0, 1, 3, 5, 7]
    figure, axes = plot_style.panels(len(shown), 1.9)
    for one, i in zip(axes, shown):
        scatter(one, points[i], "1 round" if rounds[i] == 1 else f"{rounds[i]} rounds")
        one.set(xlim=(-3.1, 3.1), ylim=(-3.1, 3.1))
    return save(results, figure, "vae-chain-moons")


def gan_curves(results):
    figure, axes = plot_style.panels(2, 2.9)
    curve = results.table("gan", "moons", "curve")
    axes[0].plot(*curve.T, color=BLUE, linewidth=1)
    axes[0].set(xlabel="updates", ylabel="value of the game, nats")
    axes[0].set_title("the game as it is played on the moons", fontsize="small")
    axes[1].plot(*results.table("gan", "moons", "exact").T, color=BLUE, linewidth=1.5,
                 label="$2\\,JS(p, q) - \\log 4$, by integration")
    axes[1].plot(*results.table("gan", "moons", "learned").T, "o", color=ORANGE, markersize=5,
                 label="learned discriminators")
    axes[1].set(xlabel="share of q that is p", ylabel="value of the best answer, nats")
    axes[1].set_title("the best discriminator against a fixed q", fontsize="small")
    for one in axes:
        one.axhline(-LOG4, color="black", linewidth=0.8, linestyle="--", label="$-\\log 4$")
        one.legend(fontsize="small", frameon=False)
    return save(results, figure, "gan-curves")


def discriminators(results):
    """Both are the same places; the first half of the rows is what was learned."""
    both = results.table("gan", "moons", "discriminators")
    figure, axes = plot_style.panels(2, 3.3)
    for one, grid, title in zip(axes, np.split(both, 2), ("learned D(x)", "p / (p + q)")):
        image = one.imshow(grid, origin="lower", extent=(-3, 3, -3, 3), cmap="RdBu", vmin=0, vmax=1)
        bare(one, title, (-3, 3))
    figure.colorbar(image, ax=axes, shrink=0.8)
    return save(results, figure, "gan-discriminator", 256)


def game_curves(results):
    models = results.games("moons")
    figure, axes = plot_style.panels(3, 3.6, rows=2)
    for one, model in zip(axes.ravel(), models):
        curve = results.table(model, "moons", "curve")
        one.plot(*curve.T, color=BLUE, linewidth=1)
        later = curve[len(curve) // 20:, 1]  # the start of some is off the scale of all that follows
        one.set_ylim(later.min() - 0.1 * np.ptp(later), later.max() + 0.1 * np.ptp(later))
        end = -LOG4 if model == "fgan_gan" else 0
        one.axhline(end, color="black", linewidth=0.8, linestyle="--")
        one.set_title(results.title(model).removeprefix("f-GAN, "), fontsize="small")
        one.tick_params(labelsize="small")
    figure.supxlabel("updates", fontsize="small")
    figure.supylabel("bound on the divergence", fontsize="small")
    return save(results, figure, "fgan-curves")


def flow_curves(results):
    sets = [data for data in ("moons", "digits") if results.of("nice", data)]
    figure, axes = plt.subplots(1, len(sets), figsize=(8, 2.9), dpi=150, layout="compressed",
                                squeeze=False)
    colours = dict(zip(FLOWS, (GREY, ORANGE, BLUE, "#009E73")))
    for one, data in zip(axes[0], sets):
        ends = []
        for model in FLOWS:
            curve = results.table(model, data, "curve")
            one.plot(*curve[2:].T, color=colours[model], linewidth=1, label=TITLES[model])
            ends += [curve[len(curve) // 10, 1], curve[-1, 1]]
        room = 0.2 * (max(ends) - min(ends))
        one.set(ylim=(min(ends) - room, max(ends) + room), xlabel="updates",
                ylabel="log p of the training batches, nats")
        one.set_title(data, fontsize="small")
        if truth := results.of("nice", data).get("truth"):
            one.axhline(truth, color="black", linewidth=0.8, linestyle="--", label="the data's own")
        one.legend(fontsize="small", frameon=False, loc="lower right")
    return save(results, figure, "flow-curves")
