"""Tests of the program: python tests/cli/cli_test.py BUILD/rheo [-v] [NAME ...]"""

import sys
import unittest

import program


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folder = program.prepare(sys.argv.pop(1))
    names = ("usage_test", "command_lines_test", "resume_test", "bad_file_test",
             "commands_test", "run_test", "verify_test", "streams_test", "vectors_test",
             "vector_models_test")
    modules = [__import__(name) for name in names]

    def load_tests(loader, *_):
        return unittest.TestSuite(loader.loadTestsFromModule(m) for m in modules)

    sys.modules["__main__"].load_tests = load_tests
    for module in modules:  # so that -v NAME finds a class
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, unittest.TestCase):
                setattr(sys.modules["__main__"], name, value)
    with folder:
        unittest.main()


main()
