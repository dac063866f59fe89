"""RealNVP, NICE, MAF, IAF and Glow in float64, of published libraries' flows: log p(x), latents.

Couplings, their MLPs, permutations, 1x1 convolutions, ActNorm and squeeze are normflows', the
autoregressive maps and their networks nflows', with the checkpoint's weights put into them.
Convolutional networks and splits are plain PyTorch. Every flow takes data towards latents.
"""

import math

import normflows as nf
import torch
import zuko
from nflows.transforms.autoregressive import AutoregressiveTransform
from nflows.transforms.made import MADE
from torch import nn
from torch.distributions import Normal, SigmoidTransform, TransformedDistribution, Uniform
from torch.nn import functional as F


def put(module, **values):
    """Puts tensors of a graph in place of the module's own parameters and buffers."""
    for name, value in values.items():
        delattr(module, name)
        setattr(module, name, value)
    return module


def put_layers(p, name, layers):
    for i, layer in enumerate(layers, 1):
        put(layer, weight=p[f"{name}linear{i}.weight"], bias=p[f"{name}linear{i}.bias"])


def conv3x3(x, p, name):
    """Zero-padded by one. The edge's weights are of a channel that is 1 on the padding, else 0."""
    weight, x = p[name + "weight"].permute(0, 3, 1, 2), F.pad(x, (1, 1, 1, 1))
    if name + "edge" in p:
        border = 1 - F.pad(torch.ones_like(x[:, :1, 1:-1, 1:-1]), (1, 1, 1, 1))
        x, weight = torch.cat([x, border], 1), torch.cat([weight, p[name + "edge"][:, None]], 1)
    return F.conv2d(x, weight)


def normed(raw, p, name, factor=1):
    bias, log_scale = (p[name + key][:, None, None] for key in ("bias", "log_scale"))
    return (raw + bias) * torch.exp(factor * log_scale)


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def network(p, name):
    if name + "linear1.weight" in p:
        weights = [p[f"{name}linear{i}.weight"] for i in (1, 2, 3)]
        mlp = nf.nets.MLP([weights[0].shape[1], *(len(weight) for weight in weights)])
        put_layers(p, name, mlp.net[::2])
        return mlp

    def convolutions(a):
        h = F.relu(normed(conv3x3(a, p, name + "conv1."), p, name + "conv1."))
        raw = F.conv2d(h, p[name + "conv2.weight"][:, :, None, None])
        h = F.relu(normed(raw, p, name + "conv2."))
        return normed(conv3x3(h, p, name + "conv3."), p, name + "conv3.", 3)
    return Called(convolutions)


class Interleaved(nn.Module):
    """The shifts and log scales of b in normflows' order, which is shift, log scale, shift, ..."""

    def __init__(self, net, scale, gain):
        super().__init__()
        self.net, self.scale, self.gain = net, scale, gain

    def forward(self, a):
        shift, raw = self.net(a).chunk(2, dim=1)
        if self.scale == "tanh":
            raw = self.gain * torch.tanh(raw)
        elif self.scale == "bounded":  # (b + t) s = b s + t s
            raw = 4 / math.pi * torch.atan(raw)
            shift = shift * torch.exp(raw)
        else:  # sigmoid2 is normflows' "sigmoid" backwards: (b - shift) sigmoid(raw + 2)
            shift = -shift
        return torch.stack([shift, raw], 2).flatten(1, 2)


def coupling(config, p, name):
    net = network(p, name)
    if config["coupling"] == "additive":
        return nf.flows.AffineCouplingBlock(net, scale=False)
    scale = config.get("scale", "sigmoid2")
    parameters = Interleaved(net, scale, p.get(name + "gain"))
    if scale == "sigmoid2":
        return nf.flows.Reverse(nf.flows.AffineCouplingBlock(parameters, scale_map="sigmoid"))
    return nf.flows.AffineCouplingBlock(parameters, scale_map="exp")


class OnePixel(nf.flows.Flow):
    """A flow of images on vectors."""

    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def forward(self, z):
        z, log_det = self.flow(z[..., None, None])
        return z.flatten(1), log_det

    def inverse(self, z):
        z, log_det = self.flow.inverse(z[..., None, None])
        return z.flatten(1), log_det


def permutation(p, name, channels):
    if name + "permutation" in p:
        order = p[name + "permutation"].long()
        return put(nf.flows.Permute(channels), perm=order, inv_perm=order.argsort())
    lu = {key: p[f"{name}invconv.{key}"]
          for key in ("lower", "upper", "log_diagonal", "sign", "permutation")}
    eye = torch.eye(channels, dtype=lu["lower"].dtype)
    return nf.flows.Reverse(put(
        nf.flows.Invertible1x1Conv(channels, use_lu=True), L=lu["lower"], U=lu["upper"],
        log_S=lu["log_diagonal"], sign_S=lu["sign"], P=eye[lu["permutation"].long()], eye=eye))


def made_network(p, name, dims):
    """nflows' MADE. Its outputs are mu_1, alpha_1, mu_2 ...; the file's mu_1 .. mu_D, alpha_1 .."""
    weight, bias = p[name + "linear3.weight"], p[name + "linear3.bias"]
    hidden = weight.shape[1]
    made = MADE(dims, hidden, num_blocks=1, output_multiplier=2, use_residual_blocks=False)
    layers = [made.initial_layer, made.blocks[0].linear, made.final_layer]
    put_layers(p, name, layers)
    put(made.final_layer, weight=weight.view(2, dims, hidden).transpose(0, 1).flatten(0, 1),
        bias=bias.view(2, dims).T.flatten())
    inputs, units = torch.arange(dims) + 1, 1 + torch.arange(hidden) % max(dims - 1, 1)
    masks = (units[:, None] >= inputs, units[:, None] >= units,
             inputs.repeat_interleave(2)[:, None] > units)
    for layer, mask in zip(layers, masks):
        # Of one dimension nflows has hidden units of degree 0, not 1: they would reach the output.
        assert dims == 1 or torch.equal(layer.mask.bool(), mask)
        put(layer, mask=mask.float())
    return made


def to_data(z, parameters):
    mu, alpha = parameters.view(*z.shape, 2).unbind(2)
    return z * torch.exp(alpha) + mu, alpha.sum(1)


def to_latents(x, parameters):
    mu, alpha = parameters.view(*x.shape, 2).unbind(2)
    return (x - mu) * torch.exp(-alpha), -alpha.sum(1)


class Maf(AutoregressiveTransform):
    _elementwise_forward, _elementwise_inverse = staticmethod(to_latents), staticmethod(to_data)


class Iaf(AutoregressiveTransform):
    _elementwise_forward, _elementwise_inverse = staticmethod(to_data), staticmethod(to_latents)


def step_flows(config, p, name, channels):
    mix = permutation(p, name, channels)
    if config["model"] == "maf":
        return [mix, Maf(made_network(p, name + "made.", channels))]
    if config["model"] == "iaf":
        return [mix, nf.flows.Reverse(Iaf(made_network(p, name + "made.", channels)))]
    if "dims" in config:
        return [mix if isinstance(mix, nf.flows.Permute) else OnePixel(mix),
                coupling(config, p, name + "coupling.")]
    bias, log_scale = (p[name + key][None, :, None, None]
                       for key in ("actnorm.bias", "actnorm.log_scale"))
    actnorm = put(nf.flows.AffineConstFlow((channels, 1, 1)), s=log_scale,
                  t=bias * torch.exp(log_scale))
    return [actnorm, mix, coupling(config, p, name + "coupling.")]


def leave(config, z, mean, log_sd):
    """log p of what leaves, and its latents, NHWC."""
    if config.get("scale") == "bounded" and config["model"] == "glow":
        log_sd = 4 * torch.tanh(log_sd / 4)
    eps = (z - mean) * torch.exp(-log_sd)
    base = Normal(torch.zeros((), dtype=z.dtype), 1)
    if config.get("prior") == "logistic":
        base = TransformedDistribution(Uniform(torch.zeros_like(mean), 1), SigmoidTransform().inv)
    log_p = (base.log_prob(eps) - log_sd).flatten(1).sum(1)
    return log_p, eps.movedim(1, -1).flatten(1)


def split(config, p, name, z):
    """(what goes on, what leaves, its mean and log_sd); RealNVP's leaves as N(0, 1)."""
    a, z = z.chunk(2, dim=1)
    if config["model"] != "glow":
        return a, z, torch.zeros_like(z), torch.zeros_like(z)
    return a, z, *normed(conv3x3(a, p, name), p, name, 3).chunk(2, dim=1)


def top(config, p, labels, z):
    def rows(name):
        if name not in p:
            return torch.zeros_like(z)
        row = p[name][labels] if config["classes"] else p[name][None]
        return row.view(*row.shape, *[1] * (z.dim() - 2)).expand_as(z)
    return rows("prior.mean"), rows("prior.log_sd")


def flows_of(config, p, level, channels):
    name = "steps." if "dims" in config else f"levels.{level}.steps."
    return [flow for step in range(config["steps"])
            for flow in step_flows(config, p, f"{name}{step}.", channels)]


def encode(config, p, x, labels):
    """(log p(x) [N], latents [N, D]) of vectors [N, D] or images [N, H, W, C]."""
    # Not from 0: a Permute's float32 zeros and ActNorm's one float64 number would make float32.
    z, log_prob, latents = x.movedim(-1, 1), x.new_zeros(len(x)), []
    levels = config.get("levels", 1)
    for level in range(levels):
        if "levels" in config:
            z, _ = nf.flows.Squeeze().inverse(z.contiguous())
        for flow in flows_of(config, p, level, z.shape[1]):
            z, log_det = flow(z)
            log_prob = log_prob + log_det
        if level + 1 < levels:
            z, *leaving = split(config, p, f"levels.{level}.split.", z)
        else:
            leaving = z, *top(config, p, labels, z)
        log_p, eps = leave(config, *leaving)
        log_prob = log_prob + log_p
        latents.append(eps)
    return log_prob, torch.cat(latents, 1)


def base_log_prob(config, eps):
    """Of latents [N, D] under the standard distribution."""
    zero = torch.zeros_like(eps)
    return leave(config, eps, zero, zero)[0]


def decode(config, p, latents):
    """Vectors of latents; for IAF this is the direction of one pass."""
    z = latents * torch.exp(p["prior.log_sd"]) if "prior.log_sd" in p else latents
    for flow in reversed(flows_of(config, p, 0, config["dims"])):
        z, _ = flow.inverse(z)
    return z


def zuko_encode(config, p, x):
    """Another library's (log p(x), latents) of MAF and IAF: its masks, its maps, its inversion."""
    dims, log_prob = config["dims"], 0
    for step in range(config["steps"]):
        name = f"steps.{step}."
        below = torch.ones(dims, dims).tril(-1).bool()
        net = zuko.nn.MaskedMLP(below.repeat(2, 1), [config["hidden"]] * 2).double()
        put_layers(p, name + "made.", list(net)[::2])

        def one_pass(given):
            # Without an end to its slope the affine map's log scale is alpha itself.
            affine = zuko.transforms.MonotonicAffineTransform(*net(given).chunk(2, 1), math.inf)
            affine = affine.inv if config["model"] == "maf" else affine
            return zuko.transforms.DependentTransform(affine, 1)

        x = zuko.transforms.PermutationTransform(p[name + "permutation"].long())(x)
        flow = zuko.transforms.AutoregressiveTransform(one_pass, passes=dims)
        flow = flow.inv if config["model"] == "iaf" else flow
        z = flow(x)
        log_prob, x = log_prob + flow.log_abs_det_jacobian(x, z), z
    return log_prob + base_log_prob(config, x), x
