"""Glow as the library normflows has it: its blocks, put together as its own Glow example does.

Sizes are those of docs/model.md; the model is not quite the same (no learned prior of a split, a
base distribution with a mean and a scale for each value, no scale on the convolutions' outputs), so
that weights cannot be shared. Images are NCHW, as the library takes them.
"""

import contextlib

import normflows as nf
import torch

CLIP_NORM = 100.0


def build(config):
    """A MultiscaleFlow in the range where training goes on: nothing is zero that would be faster."""
    torch.manual_seed(0)
    levels, shape = config["levels"], (config["channels"], config["height"], config["width"])
    bases, flows, merges = [], [], []
    for i in range(levels):  # from the innermost level outwards
        channels = shape[0] * 2 ** (levels + 1 - i)
        blocks = [nf.flows.GlowBlock(channels, config["hidden"], split_mode="channel", scale=True)
                  for _ in range(config["steps"])]
        flows.append([*blocks, nf.flows.Squeeze()])
        level = levels - i
        leaves = channels if i == 0 else channels // 2
        if i > 0:
            merges.append(nf.flows.Merge())
        size = (leaves, shape[1] >> level, shape[2] >> level)
        bases.append(nf.distributions.DiagGaussian(size))
    model = nf.MultiscaleFlow(bases, flows, merges, class_cond=False)
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.normal_(std=1e-3)
    model.log_prob(torch.rand(8, *shape) - 0.5, None)  # ActNorm takes its values from the first batch
    return model


class Work:
    """`network` bfloat16 is autocast's; what it does not know to be safe stays float32."""

    def __init__(self, config, batch, network):
        self.model, self.config, self.batch = build(config), config, batch
        self.shape = (batch, config["channels"], config["height"], config["width"])
        self.network = network

    def precision(self):
        if self.network == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast("cpu", dtype=self.network)

    def upload(self):
        pass


class Training(Work):
    def __init__(self, *how):
        super().__init__(*how)
        self.images = torch.randint(0, 256, self.shape, dtype=torch.uint8)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4, fused=True)
        self.loss = None

    def update(self):
        x = (self.images + torch.rand(self.shape)) / 256 - 0.5
        with self.precision():
            self.loss = self.model.forward_kld(x)
        self.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def finish(self):
        if not bool(self.loss.isfinite()):
            raise RuntimeError("the loss left the finite range")


class Sampling(Work):
    @torch.no_grad()
    def update(self):
        with self.precision():
            x = self.model.sample(self.batch)[0]
        self.images = ((x + 0.5) * 256).floor().clamp(0, 255).to(torch.uint8)

    def finish(self):
        pass


class Scoring(Work):
    def __init__(self, *how):
        super().__init__(*how)
        self.x = torch.rand(self.shape) - 0.5

    @torch.no_grad()
    def update(self):
        with self.precision():
            self.log_prob = self.model.log_prob(self.x, None)

    def finish(self):
        if not bool(self.log_prob.isfinite().all()):
            raise RuntimeError("log p left the finite range")
