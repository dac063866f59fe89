"""A little of tests/soak/io_faults.py: python io_faults_test.py RHEO SHIM FOLDER [NAME ...]"""

import os
import shutil
import subprocess
import sys
import unittest

from faulty import REASONS, UPDATES, Faulty

FAULTY = None  # set by main()


class SavingTest(unittest.TestCase):
    def all_good(self, wrong):
        self.assertEqual([], list(wrong))

    def test_whichever_call_of_a_save_fails(self):
        calls = FAULTY.resume_calls()
        self.assertGreater(len(calls), 80)
        kinds = list(REASONS)
        for at in range(1, len(calls) + 1):
            self.all_good(FAULTY.resume_trial(at, kinds[at % len(kinds)]))

    def test_all_calls_fail_from_one_on(self):
        for at in range(1, len(FAULTY.resume_calls()) + 1, 11):
            self.all_good(FAULTY.resume_trial(at, "EIO", lasting=True))

    def test_short_writes_and_interruptions_are_survived(self):
        writes = [at for at, (call, _) in enumerate(FAULTY.resume_calls(), 1) if call == "write"]
        for at in writes[::6]:
            self.all_good(FAULTY.resume_trial(at, "short"))
        self.all_good(FAULTY.resume_trial(1, "short", lasting=True))
        for at in (1, 2):  # every call once, whichever it is
            self.all_good(FAULTY.resume_trial(at, "EINTR", lasting=True))

    def test_what_this_user_may_not_read_is_not_set_aside(self):
        if FAULTY.unprivileged() is None:
            self.skipTest("root reads everything, and there is no setpriv to change that")
        self.all_good(FAULTY.barred_trial())

    def test_a_run_that_could_not_begin_can_be_begun_again(self):
        for at in range(1, len(FAULTY.begin_calls()) + 1, 5):
            self.all_good(FAULTY.begin_trial(at, "ENOSPC"))


class OutputTest(unittest.TestCase):
    def test_an_output_is_whole_or_the_old_one(self):
        for name in FAULTY.outputs():
            calls, wanted = FAULTY.output_calls(name)
            for at in range(1, len(calls) + 1):
                for kind in ("ENOSPC", "EINTR", "short") if name == "sample" else ("EIO",):
                    with self.subTest(name=name, at=at, kind=kind):
                        self.assertEqual([], FAULTY.output_trial(name, wanted, at, kind))


class SpaceTest(unittest.TestCase):
    """A limit that the system sets."""

    def test_a_limit_on_the_size_of_files(self):
        for limit in (0, 100, 1500):
            FAULTY.put_back()
            self.assertEqual([], FAULTY.limited_trial(limit))

    def test_a_file_system_of_one_mebibyte(self):
        """In a mount of our own, where that is allowed."""
        FAULTY.watched.mkdir(exist_ok=True)
        mount = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-ec",
                 'mount -t tmpfs -o size=1m none "$0"; exec "$@"', str(FAULTY.watched)]
        if not shutil.which("unshare") or subprocess.run([*mount, "true"],
                                                         capture_output=True).returncode != 0:
            self.skipTest("a file system cannot be mounted here")
        result = subprocess.run([*mount, sys.executable, __file__, FAULTY.program, FAULTY.shim,
                                 FAULTY.folder, "--full"], capture_output=True, text=True)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))


def main():
    global FAULTY
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    program, shim, folder = (sys.argv.pop(1) for _ in range(3))
    full = sys.argv[1:] == ["--full"]
    FAULTY = Faulty(program, shim, folder, begin=not full)
    if full:
        sys.exit("\n".join(FAULTY.full_trial()) or 0)
    unittest.main()


if __name__ == "__main__":
    main()
