"""The reliability bars: what is done, what must hold, and the CTests that do a little of it each time."""

from typing import NamedTuple


class Bar(NamedTuple):
    done: str
    holds: str
    short: str


BARS = {
    "resume": Bar(
        "training is stopped at a random update by SIGTERM or SIGINT, or put back to an older checkpoint, and resumed",
        "parameters, optimiser, average, random state and metrics are byte for byte those of the run that was never stopped",
        "`resume`"),
    "kill": Bar(
        "SIGKILL at a random moment while every update is saved",
        "the newest checkpoint that verifies is at most one save old; no bad one is loaded; resuming needs no hand; leftovers go",
        "`kill`"),
    "io_faults": Bar(
        "the i-th write, fsync, rename, open or close of a save fails, for every i; a file system of 1 MiB; /dev/full",
        "earlier checkpoints are intact, no part of a file has a final name, the exit code is 5 and the message names path and reason",
        "`io_faults`"),
    "fuzz": Bar(
        "random and hand-made hostile files into every reader, with ASan and UBSan",
        "no crash, no hang over 1 s, memory at most the file's size + 64 MiB where it is refused; a planted bug is found",
        "`fuzz.corpus`, `fuzz.hostile`, `fuzz.planted`"),
    "nonfinite": Bar(
        "NaN and Inf in the input, loss, a gradient or a weight at random updates; 25 in a row; the learning rate times 100",
        "the update is skipped and counted, no parameter changed; after 20 in a row back to the last good checkpoint once, then exit code 6; never saved as last or best",
        "`nonfinite`"),
    "inversion": Bar(
        "real, Gaussian, uniform, constant, checkerboard and shuffled images through encode and decode; latents at 10 sigma; temperatures 0 to 2",
        "float32 gives every 8-bit pixel back; with a bounded scale nothing is Inf or NaN; anything not finite is an error that names the layer; other shares are told",
        "`inversion`"),
    "determinism": Bar(
        "the same seed many times; samples in batches of 1, 7 and 64; scores in any order",
        "the same bytes",
        "`determinism`"),
    "misuse": Bar(
        "every function of the library with null, zero, huge, NaN and foreign arguments, after errors, and from two threads",
        "a `rheo::Error` or a result; never an end of the process; clean under ASan, UBSan and, for loader and files, TSan",
        "`misuse.*`"),
    "memory": Bar(
        "the i-th allocation fails, for every i of create, step, sample, save and load; a batch ten times too big",
        "`out_of_memory`, nothing leaked, the model usable with a smaller batch; the plan is within 5 % of the measured peak",
        "`memory.*`"),
    "readers": Bar(
        "eight processes load `last` in a loop while a trainer saves and prunes; a file is truncated under a reader",
        "no failed and no mixed read; an error, not SIGBUS",
        "`readers`"),
    "commands": Bar(
        "hostile command lines: words dropped, doubled, swapped, replaced; closed and full outputs; no terminal",
        "a documented exit code in time, never 0 without what was asked for, only results on stdout, one line of message that says what to do",
        "`cli` (`CommandLinesTest`), `commands`"),
    "endurance": Bar(
        "training, sampling, scoring and saving without end, in one process and in many; 10,000 models and trainers made and destroyed",
        "memory, file descriptors and threads flat (1 % or 8 MiB); each update has one line of metrics",
        "`endurance`"),
}
