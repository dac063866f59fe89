"""Writes the zoo's page: python page.py FOLDER, which holds what the programs wrote."""

import base64
import html
import sys

import numpy as np
import pictures
from pictures import Results

STYLE = """
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 Georgia, serif; color: #222 }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem }
table { border-collapse: collapse; font: 14px/1.4 sans-serif; margin: 1rem 0; width: 100% }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right }
th { vertical-align: bottom } td.text, th.text { text-align: left }
tr.reference td { color: #777; font-style: italic }
img { max-width: 100%; display: block; margin: 1rem auto } code { font-size: 90% }
p.note { font-size: 90%; color: #555 }
"""

INTRODUCTION = """
Eight kinds of generative models learn the same two data sets: two moons in the plane (20,000 points
to train on, 10,000 to test) and scikit-learn's digits, 8x8 pixels of 17 greys (1,438 and 359). All
of it runs on one library's matrix products, Adam and random numbers, each model on one thread of a
processor. The question of this page is what each model can say of the probability of what it was
shown, and what a sample costs.</p><p>
Every &plusmn; is one standard error. That of a test value is of the drawn test points, which are the
same for all models, so that it is mostly common to them. Parameters are all that are learned: of the
VAE encoder and decoder, of a game generator and critic. The time of 1,000 samples is the
fastest of the draws that 0.2 seconds have room for, or the only one.
"""

MOONS = """
The value is the mean over the test points: log p in nats, or a lower bound of it. The moons' own
density is known, an integral over half circles of noise, and no model's mean can exceed its value
except by chance. <i>On the moons</i> is the share of samples where that density is higher than at
the lowest hundredth of the data: 99 % is right, and says nothing of parts that are never
visited; the pictures do. The RBM sees each coordinate as 6 bits in Gray code, so that its density is
constant in each cell of a 64 x 64 grid.
"""

DIGITS = """
Three kinds of numbers that do not compare across kinds: flows and VAE give log P of the grey image
(flows bound it by dequantisation: a pixel's grey is an interval of length 1, filled with uniform
noise; the VAE's pixels are binomial, 16 trials). The RBM's images are binary, each pixel drawn with
its grey as the probability, and so are worth fewer nats. A GAN has no such number at all. Where the
last training batches have more nats than the test images, a model has learned some of its 1,438
images by heart. NICE learns at 20 times the others' rate, the best of three plans by the test value:
its learned scale starts at 1, far from what pixels that never change need.
"""

RBM = """
<i>E(v, h) = -a&middot;v - b&middot;h - h&middot;W v</i>, binary units, learned by contrastive
divergence: the gradient of the free energy at the data less that after k steps of Gibbs sampling, 1
for the moons and 10 for the digits. A sample is the end of 1,000 steps from random bits.
log p(v) = -F(v) - log Z, and Z is a sum over all states: of the 12 visible units for the moons, of
the 20 hidden ones for the digits. At this size it can be had exactly, and the estimate that larger
machines must trust, annealed importance sampling (200 chains, 2,000 temperatures), can be checked:
"""

VAE = """
log p(x) &ge; E<sub>q(z|x)</sub> log p(x|z) - KL(q(z|x) || N(0, I)), with z = &mu; + &sigma;&epsilon;.
The bound's gap is what q lacks of the true posterior. Importance sampling from the same q, with 500
draws a point, gives a tighter bound, here of the same test points, 1,000 of them at most:
"""

VAE_CHAIN = """
The sampling dynamics: encode, draw z, decode, again and again. On the moons the chain is among the
data within some ten rounds; some chains of the digits never arrive. The chain is one of q and
p(x|z) in turn, so it keeps p(x) only where q is the true posterior.
"""

GAN = """
min<sub>G</sub> max<sub>D</sub> E<sub>p</sub> log D + E<sub>q</sub> log(1 - D). For a fixed generator
the best discriminator is p/(p+q), and the value is then 2 JS(p, q) - log 4: -log 4 = -1.386
where q = p and D = 1/2 everywhere. Left: the game as played. Right: the same value for fake points
that we know the density of, a Gaussian mixed with more and more of the data itself: by integration
over the plane, and as discriminators learned it from points alone (held to other points, so a value
below the curve is what they have not found). The maps are of the place where half of q is p, so
that no D should exceed 2/3.
"""

FGAN = """
D<sub>f</sub>(p || q) = E<sub>q</sub> f(p/q) &ge; E<sub>p</sub> T - E<sub>q</sub> f*(T), with
T = g(v) of a network's unconstrained output v. The last two columns hold the bound to the truth
where both are known: p = &frac12; N(-1, 0.6&sup2;) + &frac12; N(1, 0.6&sup2;), q = N(0, 1.4&sup2;), by
numerical integration. Jensen-Shannon and GAN are the same game, log 4 apart: their critics see the
same slopes, and with the same random numbers learn the same generator up to rounding. The GAN above
is the last of the six, played for longer (moons: 10,000 updates in place of 6,000; digits: 5,000 in
place of 4,000). A bound on points that the
critic was not shown may come out a little below the least value that the divergence itself can have.
"""

FLOWS = """
log p(x) = log p<sub>Z</sub>(f(x)) + log |det J<sub>f</sub>(x)|, exact, by the library's own trainer;
eight layers each. NICE's couplings only add, RealNVP's scale as well, Glow's 1x1 convolution learns
how to mix the coordinates between them where the others swap them, and MAF, autoregressive,
takes as many passes to sample as there are coordinates: look at its time for 1,000 digits.
"""

FORMULAS = {  # those that divergence.cpp computes
    "kl": ("u log u", "v", "exp(t - 1)"),
    "reverse_kl": ("-log u", "-exp(-v)", "-1 - log(-t)"),
    "pearson": ("(u - 1)&sup2;", "v", "t&sup2;/4 + t; -1 below t = -2"),
    "hellinger": ("(&radic;u - 1)&sup2;", "1 - exp(-v)", "t / (1 - t)"),
    "jensen_shannon": ("u log u - (u + 1) log((1 + u)/2)", "log 2 - log(1 + exp(-v))",
                       "-log(2 - exp t)"),
    "gan": ("u log u - (u + 1) log(u + 1)", "-log(1 + exp(-v))", "-log(1 - exp t)"),
}


def table(heads, rows):
    """Rows are (class, cells); the first two columns are text."""
    def cells(tag, values):
        return "".join(f"<{tag}{' class=text' if i < 2 else ''}>{value}</{tag}>"
                       for i, value in enumerate(values))
    body = "".join(f"<tr class={kind or 'plain'}>{cells('td', row)}</tr>" for kind, row in rows)
    return f"<table><tr>{cells('th', heads)}</tr>{body}</table>"


def paragraph(text):
    return f"<p>{text.strip()}</p>"


def image(path, text):
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'


def seconds(value):
    return f"{1000 * value:.1f} ms" if value < 1 else f"{value:.1f} s"


def value(record):
    """A likelihood with its standard error; of a game the bound, which is no likelihood."""
    if record["likelihood"].startswith("none"):
        return "&ndash;"
    sign = "&ge; " if "lower bound" in record["likelihood"] else ""
    return sign + measured(record, "value", "error")


def measured(record, value, error):
    digits = 3 if record["data"] == "moons" else 1
    return f"{record[value]:.{digits}f} &plusmn; {record[error]:.{digits}f}"


def last_batches(results, model):
    """Of the digits: what the last hundredth of the updates had, where that is a likelihood."""
    if model not in ("vae", *pictures.FLOWS):
        return "&ndash;"
    return f"{results.table(model, 'digits', 'curve')[-1, 1]:.1f}"


def comparison(results, data):
    moons = data == "moons"
    rows = []
    if moons and (flow := results.of("nice", "moons")):
        rows.append(("reference", ["the data's own density", "exact", f"{flow['truth']:.3f}", "99 %",
                                   "", "", ""]))
    for model in results.models(data):
        one = results.of(model, data)
        other = f"{100 * one['on_moons']:.0f} %" if moons else last_batches(results, model)
        rows.append(("", [results.title(model), one["likelihood"], value(one), other,
                          f"{one['parameters']:,.0f}", seconds(one["train_seconds"]),
                          seconds(one["sample_seconds"])]))
    return table(["model", "likelihood", "test, nats",
                  "on the moons" if moons else "last training batches", "parameters", "training",
                  "1,000 samples"], rows)


def partition(results, sets):
    rows = []
    for data in sets:
        one = results.of("rbm", data)
        rows.append(("", [data, "2<sup>12</sup> visible states" if data == "moons" else
                          "2<sup>20</sup> hidden states", f"{one['log_z']:.3f}",
                          seconds(one["log_z_seconds"]),
                          f"{one['log_z_estimate']:.3f} &plusmn; {one['log_z_estimate_error']:.3f}",
                          seconds(one["log_z_estimate_seconds"])]))
    return table(["data", "sum over", "log Z, exact", "time", "log Z, estimated", "time"], rows)


def tighter(results, sets):
    rows = []
    for data in sets:
        one = results.of("vae", data)
        rows.append(("", [data, one["unit"], f"{one['points']:,.0f}",
                          "&ge; " + measured(one, "loose", "loose_error"),
                          "&ge; " + measured(one, "tight", "tight_error")]))
    return table(["data", "in", "test points", "evidence bound", "importance sampling"], rows)


def divergences(results):
    rows = []
    for model in results.games("moons"):
        one = results.of(model, "moons")
        rows.append(("", [one["divergence"], *FORMULAS[model.removeprefix("fgan_")],
                          measured(one, "value", "error"), f"{one['line_bound']:.4f}",
                          f"{one['line_divergence']:.4f}"]))
    return table(["divergence", "f(u)", "g(v)", "f*(t)", "bound, end of moons", "bound, line",
                  "truth, line"], rows)


def duration(results):
    """The whole run's, which the script `run` notes."""
    path = results.folder / "duration"
    if not path.exists():
        return ""
    spent, cores = path.read_text().split()
    return f", here in {int(spent) / 60:.1f} minutes on a machine of {cores} cores"


def sections(results, sets, data):
    digits = "digits" in sets
    yield "<h2>Two moons</h2>" + paragraph(MOONS) + comparison(results, "moons")
    yield image(pictures.moons_samples(results, data), "samples of every model beside the data")
    if digits:
        yield "<h2>Digits</h2>" + paragraph(DIGITS) + comparison(results, "digits")
        yield image(pictures.digits_samples(results), "digits of every model")
        yield ("<p class=note>Of the RBM and the VAE the pixels' means are shown, given the last "
               "hidden units or z.</p>")
    yield "<h2>Restricted Boltzmann machine</h2>" + paragraph(RBM) + partition(results, sets)
    yield image(pictures.rbm_density(results, data), "the machine's exact density")
    if digits:
        steps = np.cumsum([0, 1, 1, 3, 5, 10, 30, 50, 100, 300, 500])
        yield image(pictures.chain(results, "rbm", steps, "a Gibbs chain from a test image; steps"),
                    "Gibbs chains")
    rounds = np.cumsum([0, 1, 1, 2, 4, 8, 16, 32])
    yield "<h2>Variational autoencoder</h2>" + paragraph(VAE) + tighter(results, sets)
    yield paragraph(VAE_CHAIN)
    yield image(pictures.vae_dynamics(results, rounds), "encode, sample, decode on the moons")
    if digits:
        yield image(pictures.chain(results, "vae", rounds, "from noise; rounds"), "the same of digits")
    yield "<h2>Generative adversarial network</h2>" + paragraph(GAN)
    yield image(pictures.gan_curves(results), "the value of the game and -log 4")
    yield image(pictures.discriminators(results), "the learned and the best discriminator")
    yield "<h2>f-GAN</h2>" + paragraph(FGAN) + divergences(results)
    yield image(pictures.game_curves(results), "each divergence's bound while it is played")
    yield "<h2>Flows</h2>" + paragraph(FLOWS)
    yield image(pictures.flow_curves(results), "log p of the training batches")
    yield ("<p class=note>Made by <code>examples/generative_zoo/run FOLDER</code>, which trains every "
           f"model on one thread, two programs at a time{duration(results)}.</p>")


def main():
    results = Results(sys.argv[1])
    sets = [data for data in ("moons", "digits") if results.of("nice", data)]
    data = results.table("nice", "moons", "data")
    body = "\n".join(sections(results, sets, data))
    path = results.folder / "index.html"
    path.write_text("<!doctype html><html lang=en><meta charset=utf-8>"
                    "<meta name=viewport content='width=device-width'>"
                    f"<title>A zoo of generative models</title><style>{STYLE}</style>"
                    f"<h1>A zoo of generative models</h1>{paragraph(INTRODUCTION)}{body}</html>\n")
    print(path)


if __name__ == "__main__":
    main()
