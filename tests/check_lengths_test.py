"""Shows that scripts/check_lengths can fail, and where it must not."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent.parent / "scripts" / "check_lengths"


def body(lines):
    return "  work();\n" * lines


class CheckLengths(unittest.TestCase):
    def run_on(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(text)
            done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr

    def finds(self, name, text, report):
        code, output = self.run_on(name, text)
        self.assertEqual((code, output), (1, report + "\n"))

    def passes(self, name, text):
        code, output = self.run_on(name, text)
        self.assertEqual(code, 0, output)

    def test_a_function_of_forty_lines_passes_and_one_more_does_not(self):
        self.passes("src/a.cpp", "void f() {\n" + body(38) + "}\n")
        self.finds("src/a.cpp", "\n\nvoid f() {\n" + body(39) + "}\n",
                   "src/a.cpp:3: a function of 41 lines; the limit is 40")

    def test_kernels_may_have_sixty(self):
        self.passes("kernels/cpu/a.cpp", "void f() {\n" + body(58) + "}\n")
        self.finds("kernels/cuda/a.cu", "void f() {\n" + body(59) + "}\n",
                   "kernels/cuda/a.cu:1: a function of 61 lines; the limit is 60")

    def test_a_file_of_300_lines_passes_and_one_more_does_not(self):
        self.passes("cli/a.h", "int a;\n" * 300)
        self.finds("cli/a.h", "int a;\n" * 301, "cli/a.h: 301 lines; the limit is 300")

    def test_members_in_nested_scopes_count(self):
        text = "namespace a::b {\nclass C final : public D<int (*)(int)> {\n public:\n  int f() const {\n"
        self.finds("src/a.h", text + body(40) + "  }\n};\n}\n",
                   "src/a.h:4: a function of 42 lines; the limit is 40")

    def test_a_constructor_with_initializers_is_one_function(self):
        text = "C::C(int a) : a_{a}, b_{f(a)},\n    c_(1) {\n"
        self.finds("src/a.cpp", text + body(39) + "}\n",
                   "src/a.cpp:1: a function of 42 lines; the limit is 40")

    def test_templates_operators_and_try_blocks_are_functions(self):
        for head in ("template <class T, int N = 3>\nauto f(T t = {}) -> int {\n",
                     "bool C::operator==(const C& c) const {\n", "int f(int a = 1) noexcept {\n"):
            code, output = self.run_on("src/a.cpp", head + body(50) + "}\n")
            self.assertEqual(code, 1, head + output)

    def test_tables_comments_and_strings_are_not_functions(self):
        self.passes("src/a.cpp", "const int table[] = {\n" + "    1,\n" * 90 + "};\n")
        self.passes("src/a.cpp", "const std::vector<int> t = make({\n" + "    1,\n" * 90 + "});\n")
        self.passes("src/a.cpp", "// void f() {\n" + "int a;\n" * 90)
        self.passes("src/a.cpp", "const char* a = \"f() {\";\n" + "int a;\n" * 90)
        self.passes("src/a.cpp", "const char* a = R\"(f() {\n" + "}\n" * 90 + ")\";\nchar q = '{';\n")
        self.passes("src/a.h", "struct A {\n" + "  int a = 1;\n" * 90 + "};\n")

    def test_a_macro_without_a_semicolon_is_no_part_of_what_follows(self):
        macro = "TABLE_OF(Colour, {{Colour::red, \"red\"},\n" + "    {Colour::red, \"red\"},\n" * 30 + "})\n"
        self.passes("src/a.cpp", macro + macro + "namespace {\n" + "int a;\n" * 90 + "}\n")
        self.passes("src/a.cpp", macro + macro + "void f() {\n" + body(38) + "}\n")
        self.finds("src/a.cpp", macro + "void f() {\n" + body(39) + "}\n",
                   "src/a.cpp:33: a function of 41 lines; the limit is 40")

    def test_a_reason_lifts_the_limits_and_an_empty_one_does_not(self):
        long = "void f() {\n" + body(80) + "}\n"
        self.passes("src/a.cpp", "// lengths: one table of error texts\n" + long)
        self.assertEqual(self.run_on("src/a.cpp", "// lengths: \n" + long)[0], 1)

    def test_tests_have_a_file_limit_of_their_own(self):
        self.passes("tests/a_test.cpp", "TEST(A, B) {\n" + body(300) + "}\n")
        self.assertEqual(self.run_on("tests/a_test.cpp", "int a;\n" * 401)[0], 1)

    def test_an_empty_tree_fails(self):
        self.assertEqual(self.run_on("docs/a.cpp", "")[0], 1)


if __name__ == "__main__":
    unittest.main()
