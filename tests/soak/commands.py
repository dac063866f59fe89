"""Bar 11: hostile command lines. A trial takes a line that works, drops, doubles, swaps and replaces
words of it, may close an output or have it full, and looks at what is left."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

import trials  # noqa: E402
from trials import Failure, add  # noqa: E402

CODES = {0, 1, 2, 3, 4, 5, 6, 128 + signal.SIGTERM}  # of README.md
SECONDS = 30  # a hang; each line asks for less than one second's work
MEMORY, FILE = 8 << 30, 64 << 20  # limits of a process: some words ask for all that there is

TRAIN = ["train", "colour.npy", "--run", "new/run", "--levels", "2", "--steps", "2", "--hidden", "8",
         "--batch", "8", "--updates", "4", "--init-images", "16", "--samples", "4", "--minutes", "0.02"]
LINES = [
    TRAIN,
    [*TRAIN, "--held-out", "8", "--validate-every", "2", "--save-every", "2", "--average", "0.9"],
    [*TRAIN, "--labels", "labels.npy", "--conditional", "--flip", "--shift", "1", "--threads", "1"],
    ["train", "vectors.npy", "--run", "new/run", "--model", "maf", "--hidden", "8", "--batch", "8",
     "--updates", "4", "--minutes", "0.02"],
    ["train", "--run", "run", "--resume", "--updates", "4"],
    ["sample", "--model", "model.safetensors", "--output", "new/x.png", "--count", "4", "--seed", "3"],
    ["sample", "--model", "model.safetensors", "--output", "new/x.npy", "--count", "4",
     "--temperature", "0.5", "--batch", "2", "--device", "cpu"],
    ["score", "colour.npy", "--model", "model.safetensors", "--output", "new/x.npy", "--json"],
    ["score", "--input", "colour.npy", "--model", "model.safetensors", "--noise", "centre", "--json"],
    ["encode", "--model", "model.safetensors", "colour.npy", "--output", "new/x.npy"],
    ["decode", "--model", "model.safetensors", "--latents", "z.npy", "--output", "new/x.npy"],
    ["interpolate", "colour.npy", "--model", "model.safetensors", "--output", "new/x.png", "--pairs",
     "2", "--steps", "3"],
    ["reconstruct", "colour.npy", "--model", "model.safetensors", "--output", "new/x.png", "--json"],
    ["info", "model.safetensors", "--json"],
    ["info", "model.safetensors", "--batch", "4", "--memory", "state"],
    ["verify", "run"],
    ["toy", "moons", "new/x.npy", "--count", "50", "--seed", "1"],
]

HOSTILE = [
    "", "-", "--", "---", "-1", "0", "-0", "1", "2", "3", "007", "1e3", "1.5", "+4", "0x10", "1e400", "-inf",
    "nan", "NaN", "true", "none", "null", "auto", "999999999999999", "99999999999999999999",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "18446744073709551616",
    "2147483648", "4294967296", " ", " 4", "4 ", "\t", "\n", "a\nb", "\x1b[31mred", "\r", "\x7f", "\u009b31m",
    "\udcff\udcfe", "é", "\u202e", "x" * 5000, "%s%n%d", "{}", "{0}", "$(reboot)", "`x`", "*", "?", "~", "'", '"',
    "/", ".", "..", "/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "/nowhere/x.npy", "new", "new/",
    "run", "colour.npy", "grey.npy", "labels.npy", "z.npy", "vectors.npy", "text.txt", "model.safetensors",
    "vector_model.safetensors", "loop", "toy:moons", "toy:", "toy:klein", "cpu", "cuda", "cuda:0",
    "cuda:-1", "bf16", "f32", "f64", "full", "invert", "--help", "--version", "--json", "--resume", "--run",
    "--output", "--model", "--config", "--labels", "--test", "--device", "--threads", "--batch", "--count",
    "--seed", "--size", "--crop", "--pad", "--resize", "--precision", "--memory", "--progress",
    "--allow-inexact", "--class", "--conditional", "--held-out", "--=", "--=4", "-=", "--run=", "-h", "-n4",
]


def prepare(program, data):
    """Data, a run and two models; each trial works on copies of what it may change."""
    if (data / "ready").exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    trials.write_data(data)
    (data / "text.txt").write_text("hello\n")
    os.symlink("loop", data / "loop")

    def call(*args):
        subprocess.run([program, *args], cwd=data, check=True, capture_output=True,
                       env=trials.environment())
    call(*TRAIN[:2], "--run", "run", *TRAIN[4:-2])
    call("train", "vectors.npy", "--run", "vectors", "--updates", "4", "--hidden", "8", "--batch", "8")
    for run, model in (("run", "model"), ("vectors", "vector_model")):
        shutil.copy(data / run / "checkpoints" / "last" / "model.safetensors",
                    data / f"{model}.safetensors")
    call("encode", "--model", "model.safetensors", "colour.npy", "--output", "z.npy")
    (data / "ready").touch()


def slipped(rng, word):
    """A word with a letter lost, doubled or changed."""
    place = rng.randrange(len(word)) if word else 0
    return word[:place] + rng.choice(["", word[place:place + 1] * 2, "q"]) + word[place + 1:]


def mutated(rng, line):
    line = list(line)
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 2, 3, 5])):
        # Mostly a value: what is wrong with a flag ends every line alike.
        values = [i for i, word in enumerate(line) if i and not word.startswith("--")]
        i = rng.choice(values) if values and rng.random() < 0.7 else rng.randrange(len(line) or 1)
        how = rng.choice(["drop", "double", "swap", "replace", "replace", "insert", "slip", "equals"])
        if how == "insert" or not line:
            line.insert(i, rng.choice(HOSTILE))
        elif how == "drop":
            del line[i]
        elif how == "double":
            line.insert(i, line[i])
        elif how == "swap":
            j = rng.randrange(len(line))
            line[i], line[j] = line[j], line[i]
        elif how == "replace":
            line[i] = rng.choice(HOSTILE)
        elif how == "slip":
            line[i] = slipped(rng, line[i])
        else:
            line[i] += "=" + rng.choice(HOSTILE)
    return [word.replace("\0", "") for word in line]


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def call(program, line, folder, streams):
    """(exit code, stdout, stderr); a training that would go on is asked to stop, and has to."""
    def one(how):
        return {"closed": None, "full": open("/dev/full", "wb"), "kept": subprocess.PIPE}[how]

    out, err = map(one, streams)

    def prepare_child():
        limit()
        for number, how in ((1, streams[0]), (2, streams[1])):
            if how == "closed":
                os.close(number)

    process = subprocess.Popen([program, *[os.fsencode(w) for w in line]], stdin=subprocess.DEVNULL, stdout=out,
                               stderr=err, cwd=folder, env=trials.environment(), preexec_fn=prepare_child)
    try:
        try:
            told = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            if "train" not in line:
                raise
            process.send_signal(signal.SIGTERM)
            told = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failure(f"hangs: {line}") from None
    return process.returncode, told[0] or b"", told[1] or b""


def value_of(line, flag):
    """What the flag was given last, or None."""
    value = None
    words = iter(line)
    for word in words:
        if word == flag:
            value = next(words, value)  # even where it looks like a flag
        elif word.startswith(flag + "="):
            value = word[len(flag) + 1:]
    return value


def control(text):
    return re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", text)


def check(line, folder, code, out, err, streams):
    def require(holds, what):
        if not holds:
            raise Failure(f"{what}: {line}, streams {streams}: {code}, {out[-300:]}, {err[-600:]}")

    require(code in CODES, "a code that is not documented")
    require(not control(err) and not control(out), "control characters")
    if streams[1] == "kept" and code not in (0, 128 + signal.SIGTERM):
        last = err.splitlines()[-1] if err else b""
        require(last.startswith(b"rheo: ") and len(last) > 12, "no message")
    if streams[0] != "kept":
        return
    if code != 0:
        require(out == b"" or line[0] == "verify", "results of a failure")
    elif not {"--help", "-h", "--version"} & set(line):
        # train has no such flag: there the word is another's value.
        output = value_of(line, "--output") if line[0] != "train" else None
        if output is not None:
            path = folder / os.fsencode(output).decode(errors="surrogateescape")
            require(path.is_file() and path.stat().st_size > 0, "no output")
        if "--json" in line and line[0] not in ("verify",):
            require(isinstance(json.loads(out), dict), "no JSON")
        if line[0] == "train":
            run = folder / value_of(line, "--run")
            require((run / "checkpoints" / "last" / "model.safetensors").is_file(), "no model")
    left = [p for p in (folder / "new").rglob("*") if ".tmp" in p.name]
    require(not left, f"left behind: {left}")


def main():
    args = trials.arguments(__doc__)
    data = args.work / "data"
    prepare(args.build / "rheo", data)

    def trial(rng, folder, notes):
        place = folder / "here"
        shutil.copytree(data, place, symlinks=True)
        (place / "new").mkdir()
        line = mutated(rng, rng.choice(LINES))
        streams = rng.choice([("kept", "kept")] * 8 + [("closed", "kept"), ("full", "kept"), ("kept", "closed"),
                                                       ("kept", "full"), ("closed", "closed")])
        (folder / "line.json").write_text(json.dumps([line, streams]))
        code, out, err = call(args.build / "rheo", line, place, streams)
        check(line, place, code, out, err, streams)
        add(notes, "exit_codes", str(code))

    sys.exit(trials.run(args, trial))


main()
