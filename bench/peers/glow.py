"""Glow in PyTorch: the model of docs/model.md, for timing beside rheo.

Three forms of one model, which give the same numbers but for rounding:
  plain     layer by layer, as the published programs are written
  folded    what does not depend on pixels is folded into the weights first, for all steps of a
            level at once: ActNorm into the 1x1 convolution, biases and scales into the networks
  products  folded, and the 3x3 convolutions as matrix products

Images and weights are NHWC throughout, so that cuDNN gets channels_last without a copy. Flow state,
1x1 convolutions and log-dets are float32; the coupling networks compute in `network`, float32 or
bfloat16. Casts stand where autocast would put them: they cost less time than autocast's own.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F

TAPS = [(dy, dx) for dy in range(3) for dx in range(3)]
FORMS = ("plain", "folded", "products")
DEFAULTS = {"model": "glow", "channels": 3, "coupling": "affine", "classes": 0, "n_bits": 8,
            "edge_bias": False, "scale": "sigmoid2"}


@dataclasses.dataclass(frozen=True)
class Kind:
    """What compiled functions are specialised for."""

    form: str
    network: torch.dtype
    affine: bool
    bounded: bool


def step_shapes(config, channels):
    hidden, half = config["hidden"], channels // 2
    convs = {"conv1": (hidden, 3, 3, half), "conv2": (hidden, hidden),
             "conv3": (channels if config["coupling"] == "affine" else half, 3, 3, hidden)}
    shapes = dict.fromkeys(("actnorm.bias", "actnorm.log_scale", "invconv.log_diagonal",
                            "invconv.sign", "invconv.permutation"), (channels,))
    shapes |= dict.fromkeys(("invconv.lower", "invconv.upper"), (channels, channels))
    for conv, shape in convs.items():
        shapes |= conv_shapes(config, f"coupling.{conv}", shape)
    return shapes


def conv_shapes(config, name, shape):
    shapes = {f"{name}.weight": shape, f"{name}.bias": shape[:1], f"{name}.log_scale": shape[:1]}
    if config["edge_bias"] and len(shape) == 4:
        shapes[f"{name}.edge"] = (shape[0], 3, 3)
    return shapes


def conv3x3(x, weight, bias):
    y = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2), bias, padding=1)
    return y.permute(0, 2, 3, 1)


def edge_map(edge, x):
    """[H, W, out]: the sum of the taps that fall outside the image."""
    border = F.pad(x.new_zeros(1, 1, *x.shape[1:3]), (1, 1, 1, 1), value=1)
    return F.conv2d(border, edge[:, None].to(x.dtype))[0].permute(1, 2, 0)


def padded(x):
    return F.pad(x, (0, 0, 1, 1, 1, 1))


def columns(x):
    x, height, width = padded(x), *x.shape[1:3]
    return torch.cat([x[:, dy : dy + height, dx : dx + width] for dy, dx in TAPS], dim=-1)


def gathered(taps, out):
    """[N, H, W, out] of [N, H, W, 9 out], each tap from the pixel that it reads."""
    height, width = taps.shape[1:3]
    taps = padded(taps).unflatten(-1, (9, out))
    return sum(taps[:, dy : dy + height, dx : dx + width, 3 * dy + dx].float() for dy, dx in TAPS)


def plain_network(kind, a, p):
    def layer(conv, x, product):
        weight, bias = (p[f"coupling.{conv}.{part}"].to(kind.network) for part in ("weight", "bias"))
        y = product(x, weight, bias)
        if f"coupling.{conv}.edge" in p:
            y = y + edge_map(p[f"coupling.{conv}.edge"], x)
        return y

    def scale(conv, factor=1):
        return torch.exp(factor * p[f"coupling.{conv}.log_scale"])

    h = layer("conv1", a.to(kind.network), conv3x3)
    h = F.relu(h * scale("conv1").to(h.dtype))
    h = layer("conv2", h, F.linear)
    h = F.relu(h * scale("conv2").to(h.dtype))
    return layer("conv3", h, conv3x3).float() * scale("conv3", 3)


def folded_network(kind, a, p):
    a, products = a.to(kind.network), kind.form == "products"
    if products:
        h = F.linear(columns(a), p["conv1.weight"], p["conv1.bias"])
    else:
        h = conv3x3(a, p["conv1.weight"], p["conv1.bias"])
    if "conv1.edge" in p:
        h = h + edge_map(p["conv1.edge"], h)
    h = F.relu(F.linear(F.relu(h), p["conv2.weight"], p["conv2.bias"]))
    if products:
        r = gathered(F.linear(h, p["conv3.weight"]), p["conv3.bias"].numel()) + p["conv3.bias"]
    else:
        r = conv3x3(h, p["conv3.weight"], p["conv3.bias"]).float()
    return r + edge_map(p["conv3.edge"], r) if "conv3.edge" in p else r


def log_scale_of(kind, raw):
    return 4 / math.pi * torch.atan(raw) if kind.bounded else F.logsigmoid(raw + 2)


def invconv_weight(p):
    """W = Perm L U, of one step or of many at once."""
    diagonal = p["invconv.sign"] * torch.exp(p["invconv.log_diagonal"])
    lower = p["invconv.lower"].tril(-1) + torch.eye(diagonal.shape[-1], device=diagonal.device)
    upper = p["invconv.upper"].triu(1) + torch.diag_embed(diagonal)
    return p["invconv.permutation"] @ (lower @ upper)


def step_log_det(p):
    """A pixel's, of ActNorm and 1x1 convolution together."""
    return p["actnorm.log_scale"].sum() + p["invconv.log_diagonal"].sum()


def network_of(kind):
    return plain_network if kind.form == "plain" else folded_network


def step_forward(kind, x, p):
    """y, and each image's log-det as far as pixels decide it; plain: all of it."""
    if kind.form == "plain":
        x = (x + p["actnorm.bias"]) * torch.exp(p["actnorm.log_scale"])
        x = F.linear(x, invconv_weight(p))
        constant = x.shape[1] * x.shape[2] * step_log_det(p)
    else:
        x, constant = F.linear(x, p["mix"], p["offset"]), 0
    a, b = x.chunk(2, dim=-1)
    r = network_of(kind)(kind, a, p)
    if not kind.affine:
        return torch.cat([a, b + r], dim=-1), constant + x.new_zeros(x.shape[0])
    shift, raw = r.chunk(2, dim=-1)
    log_scale = log_scale_of(kind, raw)
    y = torch.cat([a, (b + shift) * torch.exp(log_scale)], dim=-1)
    return y, constant + log_scale.sum(dim=(1, 2, 3))


def step_inverse(kind, y, p):
    a, b = y.chunk(2, dim=-1)
    r = network_of(kind)(kind, a, p)
    if kind.affine:
        shift, raw = r.chunk(2, dim=-1)
        b = b * torch.exp(-log_scale_of(kind, raw)) - shift
    else:
        b = b - r
    return F.linear(torch.cat([a, b], dim=-1), p["unmix"], -p["actnorm.bias"])


def folded(kind, p):
    """Weights of all steps of a level, [steps, ...], as folded_network and step_forward take them."""
    weight = invconv_weight(p) * torch.exp(p["actnorm.log_scale"])[:, None]
    q = {"mix": weight, "offset": (weight @ p["actnorm.bias"][..., None])[..., 0]}
    for conv, factor in (("conv1", 1), ("conv2", 1), ("conv3", 3)):
        name = f"coupling.{conv}."
        scale = torch.exp(factor * p[name + "log_scale"])
        for part in ("weight", "bias", "edge"):
            if name + part in p:
                value = p[name + part]
                value = value * scale.reshape(scale.shape + (1,) * (value.dim() - 2))
                q[f"{conv}.{part}"] = value.to(kind.network)
    if kind.form == "products":
        q["conv1.weight"] = q["conv1.weight"].flatten(2)
        q["conv3.weight"] = q["conv3.weight"].permute(0, 2, 3, 1, 4).flatten(1, 3)
        q["conv3.bias"] = q["conv3.bias"].float()
    return q


def squeeze(x):
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c)  # n i dy j dx c
    return x.permute(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, 4 * c)


def unsqueeze(x):
    n, h, w, c = x.shape
    x = x.reshape(n, h, w, c // 4, 2, 2)  # n i j c dy dx
    return x.permute(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c // 4)


def split_rows(kind, a, p):
    """Mean and log of the standard deviation of what leaves beside `a`; float32 always."""
    m = conv3x3(a, p["split.weight"], p["split.bias"])
    if "split.edge" in p:
        m = m + edge_map(p["split.edge"], a)
    mean, log_sd = (m * torch.exp(3 * p["split.log_scale"])).chunk(2, dim=-1)
    return mean, limited(kind, log_sd)


def limited(kind, log_sd):
    return 4 * torch.tanh(log_sd / 4) if kind.bounded else log_sd


def leave(z, mean, log_sd):
    eps = (z - mean) * torch.exp(-log_sd)
    log_p = -0.5 * math.log(2 * math.pi) - log_sd - 0.5 * eps**2
    return log_p.sum(dim=(1, 2, 3)), eps.flatten(1)


def split_forward(kind, x, p):
    a, z = x.chunk(2, dim=-1)
    return a, *leave(z, *split_rows(kind, a, p))


def split_inverse(kind, a, eps, p):
    mean, log_sd = split_rows(kind, a, p)
    return torch.cat([a, mean + eps.reshape(mean.shape) * torch.exp(log_sd)], dim=-1)


class Glow:
    """Parameters by level, those of the steps stacked: [steps, ...], and the flow both ways.

    `compile` wraps the functions of a step and of a split: torch.compile or nothing. Each is
    compiled once for each level's shape, not once for each step.
    """

    def __init__(self, config, levels, prior, form, network, compile=lambda function: function):
        self.config, self.levels, self.prior = config, levels, prior
        affine, bounded = config["coupling"] == "affine", config["scale"] == "bounded"
        self.kind = Kind(form, network, affine, bounded)
        self.step_forward, self.step_inverse = compile(step_forward), compile(step_inverse)
        self.split_forward, self.split_inverse = compile(split_forward), compile(split_inverse)
        self.folded = compile(folded)

    def parameters(self):
        return [p for level in [*self.levels, self.prior] for p in level.values() if p.requires_grad]

    def by_step(self, stacked):
        """A dictionary for each step."""
        rows = {name: value.unbind() for name, value in stacked.items() if "split" not in name}
        return [{name: row[k] for name, row in rows.items()} for k in range(self.config["steps"])]

    def top(self, shape, labels):
        mean, log_sd = self.prior["prior.mean"], self.prior["prior.log_sd"]
        if self.config["classes"]:
            mean, log_sd = (row[labels][:, None, None, :] for row in (mean, log_sd))
        return mean.expand(shape), limited(self.kind, log_sd).expand(shape)

    def encode(self, x, labels=None, weights=None):
        """(log p(x) [N], latents [N, D]) of x [N, H, W, C]; weights made beforehand may be given."""
        total, latents = 0, []
        for log_det_here, steps, split in weights or self.forward_weights():
            x = squeeze(x)
            total = total + x.shape[1] * x.shape[2] * log_det_here
            for step in steps:
                x, log_det = self.step_forward(self.kind, x, step)
                total = total + log_det
            if split:
                x, log_p, eps = self.split_forward(self.kind, x, split)
            else:
                log_p, eps = leave(x, *self.top(x.shape, labels))
            total = total + log_p
            latents.append(eps)
        return total, torch.cat(latents, dim=1)

    def forward_weights(self):
        """What `encode` needs, by level: the log-det of a pixel that images do not decide, steps and
        split. Gradients pass through; a scoring program makes it once for given weights."""
        made = []
        for level in self.levels:
            log_det = 0
            if self.kind.form != "plain":
                log_det = step_log_det(level)
                level = level | self.folded(self.kind, level)
            elif not torch.is_grad_enabled():
                level = in_network_type(self.kind, level)
            made.append((log_det, self.by_step(self.used(level)), split_of(level)))
        return made

    def used(self, level):
        """What a step takes of a level's tensors."""
        if self.kind.form == "plain":
            return level
        return {name: value for name, value in level.items()
                if name.startswith(("mix", "unmix", "offset", "conv"))}

    @torch.no_grad()
    def inverse_weights(self):
        """What `decode` needs: made once for given weights, as a sampling program would."""
        made = []
        for index, level in enumerate(self.levels):
            matrix = invconv_weight(level) * torch.exp(level["actnorm.log_scale"])[:, None]
            unmix = torch.linalg.inv(matrix.double()).float()
            if self.kind.form == "plain":
                steps = in_network_type(self.kind, level)
            else:
                steps = self.used(folded(self.kind, level))
            steps |= {"unmix": unmix, "actnorm.bias": level["actnorm.bias"]}
            made.append((self.by_step(steps), split_of(level)))
        return made

    def decode(self, latents, weights, labels=None):
        """Images of latents; undoes encode. `weights` are of inverse_weights."""
        levels = len(self.levels)
        height, width, channels = (self.config[key] for key in ("height", "width", "channels"))
        shapes = [(height >> l, width >> l, channels << l) for l in range(1, levels + 1)]
        shapes[-1] = (*shapes[-1][:2], channels << levels + 1)  # where nothing goes on
        parts = latents.split([math.prod(shape) for shape in shapes], dim=1)
        mean, log_sd = self.top((latents.shape[0], *shapes[-1]), labels)
        x = mean + parts[-1].reshape(mean.shape) * torch.exp(log_sd)
        for index in reversed(range(levels)):
            steps, split = weights[index]
            if index + 1 < levels:
                x = self.split_inverse(self.kind, x, parts[index], split)
            for step in reversed(steps):
                x = self.step_inverse(self.kind, x, step)
            x = unsqueeze(x)
        return x


def is_network(name):
    return name.startswith("coupling.") and name.endswith((".weight", ".bias"))


def in_network_type(kind, level):
    return {name: value.to(kind.network) if is_network(name) else value
            for name, value in level.items()}


def split_of(level):
    return {name: value for name, value in level.items() if name.startswith("split.")}
