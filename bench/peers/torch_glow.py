"""The same Glow in PyTorch, timed: the peer that rheo's speed and memory are measured against.

    torch_glow.py --check FOLDER|FILE.model.safetensors ...   golden cases, float32
    torch_glow.py --device cuda --out rows.json               CIFAR-10's Glow, bfloat16 networks
    torch_glow.py --device cpu --levels 2 --steps 2 --hidden 32 --size 8 --train 4 --sample 1

Needs torch and safetensors. eager: as written. compiled: torch.compile on the functions of a step,
one specialisation a level; on a GPU a whole training step or sampling pass is then captured as one
CUDA graph. Fused Adam, no TF32, no host synchronisation inside a step. Time spent compiling and
capturing is not counted. Rows are {"what", "value", "unit"}, what = torch/WORK/MODE/FORM/...
"""

import argparse
import gc
import json
import statistics
import sys
import time

import torch

import glow
import weights

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}
CLIP_NORM = 100.0  # rheo's default
BLOCKS = 5


def compiled(function):
    return torch.compile(function, dynamic=False, fullgraph=True)


def wrapper(mode):
    """Of the model's functions, as its last argument."""
    return [compiled] if mode == "compiled" else []


class Training:
    """Updates on the same random images: upload, dequantisation, both passes, clipping, Adam."""

    def __init__(self, model, batch, device):
        self.model, self.parameters = model, model.parameters()
        shape = [batch] + [model.config[key] for key in ("height", "width", "channels")]
        on_gpu = device == "cuda"
        self.images = torch.randint(0, 256, shape, dtype=torch.uint8, pin_memory=on_gpu)
        self.pixels = torch.empty(shape, dtype=torch.uint8, device=device)
        self.optimizer = torch.optim.Adam(self.parameters, lr=1e-4, fused=True, capturable=on_gpu)

    def upload(self):
        self.pixels.copy_(self.images, non_blocking=True)

    def update(self):
        x = (self.pixels + torch.rand(self.pixels.shape, device=self.pixels.device)) / 256 - 0.5
        loss = -self.model.encode(x)[0].mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def finish(self):
        if not all(bool(p.isfinite().all()) for p in self.parameters):
            raise SystemExit("torch_glow: training left the finite range; its times mean nothing")


class Sampling:
    """Pictures from noise, with weights prepared beforehand."""

    def __init__(self, model, batch, device):
        self.model, self.weights, self.device = model, model.inverse_weights(), device
        sizes = [model.config[key] for key in ("height", "width", "channels")]
        self.shape = (batch, sizes[0] * sizes[1] * sizes[2])
        self.images = None

    def upload(self):
        pass

    @torch.no_grad()
    def update(self):
        noise = torch.randn(self.shape, device=self.device)
        x = self.model.decode(noise, self.weights)
        self.images = ((x + 0.5) * 256).floor().clamp(0, 255).to(torch.uint8)

    def finish(self):
        self.images.cpu()


class Scoring:
    """log p of the same dequantised images, with weights prepared beforehand."""

    @torch.no_grad()
    def __init__(self, model, batch, device):
        self.model, self.weights = model, model.forward_weights()
        shape = [batch] + [model.config[key] for key in ("height", "width", "channels")]
        self.x = torch.rand(shape, device=device) - 0.5
        self.log_prob = None

    def upload(self):
        pass

    @torch.no_grad()
    def update(self):
        self.log_prob = self.model.encode(self.x, weights=self.weights)[0]

    def finish(self):
        if not bool(self.log_prob.isfinite().all()):
            raise SystemExit("torch_glow: scores left the finite range; their times mean nothing")


def captured(work):
    """Work whose update replays a CUDA graph of itself."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # compiles, chooses cuDNN's algorithms, makes the optimiser's state
            work.upload()
            work.update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work.update()
    work.update = graph.replay
    return work


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def median_seconds(work, device, seconds):
    """Of one update: the median of some blocks; samples come to the host one by one."""
    each = isinstance(work, Sampling)

    def run(count):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(count):
            work.upload()
            work.update()
            if each:
                work.finish()
        synchronize(device)
        return (time.perf_counter() - start) / count

    run(2)
    count = max(1, int(seconds / BLOCKS / run(1)))
    blocks = [run(count) for _ in range(BLOCKS)]
    work.finish()
    return statistics.median(blocks)


def peak_bytes(make, batch, device):
    """Of an update, outside any graph; the second, when the optimiser's state is there."""
    gc.collect()
    torch.cuda.empty_cache()
    work = Training(make(), batch, device)
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        work.upload()
        work.update()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


class Measure:
    def __init__(self, options):
        self.options, self.device, self.rows = options, options.device, []
        size = options.size
        self.config = glow.DEFAULTS | {
            "height": size, "width": size, "channels": options.channels, "levels": options.levels,
            "steps": options.steps, "hidden": options.hidden}

    def row(self, what, value, unit):
        self.rows.append({"what": f"torch/{what}", "value": value, "unit": unit})
        print(f"torch/{what}: {value:.4g} {unit}", flush=True)
        if self.options.out:  # at once: what was measured outlives what goes wrong later
            with open(self.options.out, "w", encoding="utf-8") as file:
                json.dump({"torch": torch.__version__, "rows": self.rows}, file, indent=1)

    def peaks(self):
        """What this machine's library makes of a product and a copy large enough to fill it."""
        size = 8192 if self.device == "cuda" else 512
        for name in self.options.precision:
            a, b = (torch.randn(size, size, device=self.device).to(DTYPES[name]) for _ in range(2))
            self.row(f"product/{name}", 2e-12 * size**3 / self.best(lambda: a @ b), "TFLOP/s")
        a = torch.empty(size * size * 4, device=self.device).uniform_()
        b = torch.empty_like(a)
        self.row("copy", 2e-9 * a.nbytes / self.best(lambda: b.copy_(a)), "GB/s")

    def best(self, function):
        def once():
            synchronize(self.device)
            start = time.perf_counter()
            for _ in range(10):
                function()
            synchronize(self.device)
            return (time.perf_counter() - start) / 10

        once()
        return min(once() for _ in range(BLOCKS))

    def maker(self, mode, form, precision):
        return lambda: weights.build(self.config, weights.Random(0), self.device, form,
                                     DTYPES[precision], *wrapper(mode))

    def work(self, kind, make, batch, mode):
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
        work = kind(make(), batch, self.device)
        return captured(work) if mode == "compiled" and self.device == "cuda" else work

    def measure(self, mode, form, precision):
        make, label = self.maker(mode, form, precision), f"{mode}/{form}/{precision}"
        seconds = self.options.seconds
        for batch in self.options.train:
            time_ = median_seconds(self.work(Training, make, batch, mode), self.device, seconds)
            self.row(f"train/{label}/N:{batch}", batch / time_, "images/s")
        for batch in self.options.sample:
            time_ = median_seconds(self.work(Sampling, make, batch, mode), self.device, seconds)
            self.row(f"sample/{label}/N:{batch}", 1e3 * time_, "ms")
        if self.device == "cuda" and len(self.options.train) > 1:
            few, many = min(self.options.train), max(self.options.train)
            more = peak_bytes(make, many, self.device) - peak_bytes(make, few, self.device)
            self.row(f"memory/{label}", more / (many - few) / 1e6, "MB/image")


def options_of(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--check", nargs="+", metavar="PATH", help="golden cases: files or folders")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--mode", nargs="+", choices=("eager", "compiled"), default=["eager", "compiled"])
    add("--form", nargs="+", choices=glow.FORMS, default=list(glow.FORMS))
    add("--precision", nargs="+", choices=tuple(DTYPES), default=["bf16"])
    add("--train", nargs="*", type=int, default=[64, 512], metavar="BATCH")
    add("--sample", nargs="*", type=int, default=[1, 64], metavar="BATCH")
    for name, value in (("levels", 3), ("steps", 32), ("hidden", 512), ("size", 32), ("channels", 3)):
        add(f"--{name}", type=int, default=value)
    add("--seconds", type=float, default=2.0, help="of each measurement")
    add("--out", help="JSON file for the rows")
    return parser.parse_args(arguments)


def settings():
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    # One function is specialised for each level, batch and direction.
    torch._dynamo.config.cache_size_limit = 64


def main():
    options = options_of(sys.argv[1:])
    settings()
    measure = Measure(options)
    if options.check:
        good = [weights.check(options.check, options.device, form, torch.float32, *wrapper(mode))
                for mode in options.mode for form in options.form]
        return 0 if all(good) else 1
    measure.peaks()
    for precision in options.precision:
        for mode in options.mode:
            for form in options.form:
                measure.measure(mode, form, precision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
