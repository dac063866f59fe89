"""Glow in JAX, float64: log p(x), latents and, by autograd, gradients.

Written from the published mathematics (arXiv:1605.08803, arXiv:1807.03039) and the checkpoint's
names and shapes, never from the library: what both agree on, two programs found independently.
"""

import jax
import jax.numpy as jnp
from jax import lax

jax.config.update("jax_enable_x64", True)

FIXED = ("permutation", "sign")  # parameters without a gradient


def conv3x3(x, weight, edge):
    """Cross-correlation of NHWC with [out, y, x, in], zero-padded by one.

    `edge` [out, 3, 3] is the weight of one more input channel, 1 on the padding and 0 inside.
    """
    layout = ("NHWC", "OHWI", "NHWC")
    y = lax.conv_general_dilated(x, weight, (1, 1), ((1, 1), (1, 1)), dimension_numbers=layout)
    if edge is not None:
        _, height, width, _ = x.shape
        inside = jnp.zeros((1, height, width, 1))
        border = jnp.pad(inside, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
        y += lax.conv_general_dilated(
            border, edge[..., None], (1, 1), "VALID", dimension_numbers=layout)
    return y


def squeeze(x):
    n, h, w, c = x.shape
    x = x.reshape(n, h // 2, 2, w // 2, 2, c)  # n i dy j dx c
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, 4 * c)


def halves(x):
    return jnp.split(x, 2, axis=-1)


def per_image(x):
    return x.reshape(x.shape[0], -1).sum(axis=1)


def actnorm(p, name, x):
    pixels = x.shape[1] * x.shape[2]
    log_scale = p[name + "log_scale"]
    return (x + p[name + "bias"]) * jnp.exp(log_scale), pixels * log_scale.sum()


def invconv(p, name, x):
    pixels = x.shape[1] * x.shape[2]
    log_diagonal = p[name + "log_diagonal"]
    channels = log_diagonal.size
    lower = jnp.tril(p[name + "lower"], -1) + jnp.eye(channels)
    upper = jnp.triu(p[name + "upper"], 1) + jnp.diag(p[name + "sign"] * jnp.exp(log_diagonal))
    permute = jnp.zeros((channels, channels)).at[
        jnp.arange(channels), p[name + "permutation"]].set(1)
    weight = permute @ lower @ upper
    return jnp.einsum("oi,nhwi->nhwo", weight, x), pixels * log_diagonal.sum()


def network(p, name, a):
    """What the coupling `name` makes of the half that passes through."""
    def normed(conv, raw, factor=1):
        prefix = name + conv
        return (raw + p[prefix + ".bias"]) * jnp.exp(factor * p[prefix + ".log_scale"])

    raw = conv3x3(a, p[name + "conv1.weight"], p.get(name + "conv1.edge"))
    h = jax.nn.relu(normed("conv1", raw))
    h = jax.nn.relu(normed("conv2", jnp.einsum("oi,nhwi->nhwo", p[name + "conv2.weight"], h)))
    return normed("conv3", conv3x3(h, p[name + "conv3.weight"], p.get(name + "conv3.edge")), 3)


def log_scale_of(config, raw):
    if config.get("scale", "sigmoid2") == "bounded":
        return 4 / jnp.pi * jnp.arctan(raw)
    return jax.nn.log_sigmoid(raw + 2)


def coupling(config, p, name, x):
    a, b = halves(x)
    r = network(p, name, a)
    if config["coupling"] == "additive":
        return jnp.concatenate([a, b + r], axis=-1), 0
    shift, raw = halves(r)
    log_scale = log_scale_of(config, raw)
    return jnp.concatenate([a, (b + shift) * jnp.exp(log_scale)], axis=-1), per_image(log_scale)


def leave(config, z, mean, log_sd):
    """log N(z; mean, sd^2) of each image, and eps."""
    if config.get("scale", "sigmoid2") == "bounded":
        log_sd = 4 * jnp.tanh(log_sd / 4)
    eps = (z - mean) / jnp.exp(log_sd)
    log_p = per_image(-0.5 * jnp.log(2 * jnp.pi) - log_sd - 0.5 * eps**2)
    return log_p, eps.reshape(eps.shape[0], -1)


def split(config, p, name, x):
    a, z = halves(x)
    m = conv3x3(a, p[name + "weight"], p.get(name + "edge"))
    m = (m + p[name + "bias"]) * jnp.exp(3 * p[name + "log_scale"])
    mean, log_sd = halves(m)
    return a, *leave(config, z, mean, log_sd)


def top(config, p, labels, z):
    mean, log_sd = p["prior.mean"], p["prior.log_sd"]
    if config["classes"]:
        mean, log_sd = (row[labels][:, None, None, :] for row in (mean, log_sd))
    return leave(config, z, mean, log_sd + jnp.zeros_like(z))


def encode(config, p, x, labels):
    """(log p(x) [N], latents [N, D]) of x [N, H, W, C]; labels matter only where classes do."""
    total, latents = jnp.zeros(x.shape[0]), []
    for level in range(config["levels"]):
        x = squeeze(x)
        for step in range(config["steps"]):
            name = f"levels.{level}.steps.{step}."
            x, log_det = actnorm(p, name + "actnorm.", x)
            total += log_det
            x, log_det = invconv(p, name + "invconv.", x)
            total += log_det
            x, log_det = coupling(config, p, name + "coupling.", x)
            total += log_det
        if level + 1 < config["levels"]:
            x, log_p, eps = split(config, p, f"levels.{level}.split.", x)
        else:
            log_p, eps = top(config, p, labels, x)
        total += log_p
        latents.append(eps)
    return total, jnp.concatenate(latents, axis=1)


def trainable(name):
    return name.rsplit(".", 1)[-1] not in FIXED


def widened(parameters):
    """The float32 values as float64; permutations stay integers."""
    return {name: jnp.asarray(value, jnp.float64 if value.dtype.kind == "f" else None)
            for name, value in parameters.items()}


def evaluate(config, parameters, x, labels):
    """A golden case: log_prob, latents, and the gradients of -mean(log_prob) as "grad.NAME"."""
    p = widened(parameters)
    fixed = {name: value for name, value in p.items() if not trainable(name)}
    free = {name: value for name, value in p.items() if trainable(name)}

    def loss(free, x):
        log_prob, latents = encode(config, {**free, **fixed}, x, labels)
        return -log_prob.mean(), (log_prob, latents)

    x = jnp.asarray(x, jnp.float64)
    grad = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    (grads, grad_x), (log_prob, latents) = grad(free, x)
    return {"log_prob": log_prob, "latents": latents, "grad.x": grad_x,
            **{"grad." + name: value for name, value in grads.items()}}


def log_prob_by_jacobian(config, parameters, x, labels):
    """log p of one image [1, H, W, C], from log|det| of the encoder's dense Jacobian."""
    p, x = widened(parameters), jnp.asarray(x, jnp.float64)

    def flat(values):
        return encode(config, p, values.reshape(x.shape), labels)[1][0]

    eps, jacobian = flat(x.ravel()), jax.jacfwd(flat)(x.ravel())
    return jnp.linalg.slogdet(jacobian)[1] - 0.5 * (eps**2 + jnp.log(2 * jnp.pi)).sum()
