"""A peer of bench/compare: does blocks of work when told to, and sleeps otherwise.

    worker.py torch|normflows      requests and answers are lines of JSON, on stdin and stdout

Requests: {"do": "open", "name", "kind", "batch", "mode", "form", "precision", "model"}, {"do":
"block", "name", "seconds"}, {"do": "close"}, {"do": "memory"} and, of torch, {"do": "check"}. An
answer has "error" where the request failed.
"""

import ctypes
import gc
import json
import os
import sys
import time

import torch

WARM_UP = 2  # calls before any is timed: compiles, makes the optimiser's state


def resident(key):
    """Bytes of a line of this process' status."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(key))
    return int(line.split()[1]) * 1024


def trim():
    """Gives freed memory back, which malloc keeps otherwise."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


class TorchGlow:
    """bench/peers/glow.py with a checkpoint's weights."""

    def __init__(self):
        import torch_glow
        import weights

        torch_glow.settings()
        self.torch_glow, self.weights = torch_glow, weights

    def model(self, request):
        how = self.torch_glow.wrapper(request["mode"])
        dtype = self.torch_glow.DTYPES[request["precision"]]
        return self.weights.load(request["model"], "cpu", request["form"], dtype, *how)

    def work(self, request):
        kinds = {"train": self.torch_glow.Training, "sample": self.torch_glow.Sampling,
                 "score": self.torch_glow.Scoring}
        return kinds[request["kind"]](self.model(request), request["batch"], "cpu")

    @torch.no_grad()
    def check(self, request):
        """Largest differences from rheo's scores and decoded images, relative to the largest."""
        import numpy

        model = self.model(request)
        names = ("x", *(f"{request['precision']}/{name}"
                        for name in ("log_prob", "latents", "decoded")))
        x, log_prob, latents, back = (
            torch.from_numpy(numpy.load(f"{request['files']}/{name}.npy")) for name in names)
        scores = model.encode(x, weights=model.forward_weights())[0]
        images = model.decode(latents, model.inverse_weights())
        relative = self.weights.relative
        return {"log_prob": relative(scores, log_prob), "decode": relative(images, back)}


class Normflows:
    def work(self, request):
        import normflows_glow

        kinds = {"train": normflows_glow.Training, "sample": normflows_glow.Sampling,
                 "score": normflows_glow.Scoring}
        dtype = {"bf16": torch.bfloat16, "f32": torch.float32}[request["precision"]]
        return kinds[request["kind"]](request["config"], request["batch"], dtype)


class Worker:
    def __init__(self, library):
        self.library, self.works = library, {}

    def open(self, request):
        """Seconds of the last call."""
        work = self.library.work(request)
        for _ in range(WARM_UP):
            start = time.perf_counter()
            work.upload()
            work.update()
            seconds = time.perf_counter() - start
        work.finish()
        self.works[request["name"]] = work
        return {"seconds": seconds}

    def block(self, request):
        """Seconds of a call: as many as fit into the time, at least one."""
        work, count = self.works[request["name"]], 0
        start = time.perf_counter()
        while count == 0 or (time.perf_counter() - start) * (count + 1) / count < request["seconds"]:
            work.upload()
            work.update()
            count += 1
        seconds = time.perf_counter() - start
        work.finish()
        return {"seconds": seconds / count, "calls": count}

    def memory(self, request):
        """Largest resident bytes of calls, over what there was before the model."""
        trim()
        before = resident("VmRSS:")
        work = self.library.work(request)
        for _ in range(WARM_UP):
            work.upload()
            work.update()
        trim()
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # VmHWM starts again from the present size; see proc(5)
        for _ in range(WARM_UP):
            work.upload()
            work.update()
        return {"bytes": resident("VmHWM:") - before}

    def check(self, request):
        return self.library.check(request)

    def close(self, _):
        self.works.clear()
        torch._dynamo.reset()
        trim()
        return {}

    def answer(self, request):
        try:
            return getattr(self, request["do"])(request)
        except (Exception, SystemExit) as error:  # whatever a library throws: the mode is left out
            return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    worker = Worker({"torch": TorchGlow, "normflows": Normflows}[sys.argv[1]]())
    for line in sys.stdin:
        print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
