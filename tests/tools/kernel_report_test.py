"""tools/kernel-report without a compiler: a cubin made here, names, limits, the page and its comparison."""

import pathlib
import struct
import tempfile
import unittest

import tools_path  # noqa: F401  (first: it makes the next two importable)
import cubin
import kernel_report as report


def instruction(opcode: int, width: int = 0) -> bytes:
    return struct.pack("<QQ", 0xABC000 | opcode, width << 9 | 1 << 40)


def make_cubin(kernels: dict, machine: int = cubin.EM_CUDA, abi: int = 8, architecture: int = 90) -> bytes:
    """An ELF file with what the reader looks at. kernels: name -> {registers, stack, frame, shared, threads, code}."""
    strings, symbols, info, sections = b"\0", b"\0" * 24, b"", []
    for index, (name, kernel) in enumerate(kernels.items(), 1):
        symbols += struct.pack("<IBBHQQ", len(strings), 0, 0, 0, 0, 0)
        strings += name.encode() + b"\0"
        for attribute, key in ((0x2F, "registers"), (0x11, "frame"), (0x12, "stack")):
            info += struct.pack("<BBHII", 4, attribute, 8, index, kernel.get(key, 0))
        info += struct.pack("<BBH", 3, 0x50, 7)  # one whose value is in its size
        sections.append((f".text.{name}", 1, kernel["code"]))
        if "shared" in kernel:
            sections.append((f".nv.shared.{name}", 8, b"\0" * kernel["shared"]))
        if "threads" in kernel:
            sections.append((f".nv.info.{name}", 1, struct.pack("<BBHIII", 4, 5, 12, *kernel["threads"])))
    sections = [("", 0, b""), (".strtab", 3, strings), (".symtab", 2, symbols), (".nv.info", 1, info), *sections]
    names, offsets = b"", []
    for name, _, _ in [*sections, (".shstrtab", 3, b"")]:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    sections.append((".shstrtab", 3, names))
    body, headers = b"", b""
    for (name, kind, content), at in zip(sections, offsets):
        entry = 24 if kind == 2 else 0
        headers += struct.pack("<IIQQQQIIQQ", at, kind, 0, 0, 64 + len(body), len(content), 0, 0, 1, entry)
        body += b"" if kind == 8 else content
    flags = architecture << 8 if abi >= 8 else architecture
    head = b"\x7fELF\x02\x01\x01\x41" + bytes([abi]) + b"\0" * 7
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 0, 64 + len(body), flags, 64, 0, 0, 64, len(sections),
                        len(sections) - 1)
    return head + body + headers


PLAIN = {"registers": 30, "stack": 0, "shared": 1024 + 512, "threads": (32, 4, 2),
         "code": instruction(0x181, 6) * 3 + instruction(0x381, 4) + instruction(0x186, 6) + instruction(0x188, 5)
         + instruction(0x984) + instruction(0x023)}
SPILLING = {"registers": 255, "frame": 48, "code": instruction(0x183) + instruction(0x187) * 2}


class ReadsCubins(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "k.cubin"

    def read(self, content: bytes) -> list:
        self.file.write_bytes(content)
        return cubin.read(self.file)

    def test_resources_and_accesses(self):
        plain, spilling = self.read(make_cubin({"plain": PLAIN, "spilling": SPILLING}))
        self.assertEqual((plain.name, plain.architecture, plain.registers, plain.stack, plain.shared, plain.threads,
                          plain.code, plain.local), ("plain", 90, 30, 0, 512, 256, 128, 0))
        self.assertEqual(dict(plain.accesses), {("load", 128): 3, ("load", 32): 1, ("store", 128): 1,
                                                ("shared_store", 64): 1, ("shared_load", 8): 1})
        self.assertEqual((plain.widest("load"), plain.widest("local_load"), plain.count("load"), plain.count("load", 32)),
                         (128, 0, 4, 1))
        self.assertEqual((spilling.registers, spilling.stack, spilling.local, spilling.shared, spilling.threads),
                         (255, 48, 3, 0, 0))

    def test_older_files(self):
        # Before CUDA 13 the architecture lies elsewhere; before sm_90 no shared memory is kept by the system.
        kernel, = self.read(make_cubin({"plain": PLAIN}, abi=7, architecture=80))
        self.assertEqual((kernel.architecture, kernel.shared), (80, 1536))

    def test_what_is_no_cubin(self):
        whole = make_cubin({"plain": PLAIN, "spilling": SPILLING})
        for content in (b"", b"\x7fELF", make_cubin({"plain": PLAIN}, machine=62), *(whole[:n] for n in
                        range(0, len(whole), 7))):
            with self.assertRaisesRegex(cubin.BadCubin, "k.cubin: not a whole cubin"):
                self.read(content)

    def test_a_kernel_without_registers_is_refused(self):
        with self.assertRaises(cubin.BadCubin):
            self.read(make_cubin({"plain": dict(PLAIN, registers=0)}))


class Names(unittest.TestCase):
    def test_short(self):
        enums = {"Activation": {0: "linear", 1: "relu"}}
        for full, short in {
            "void hourglass::cuda::(anonymous namespace)::adam_kernel<4>(float*, long)": "adam_kernel<4>",
            "hourglass::cuda::(anonymous namespace)::probe_kernel()": "probe_kernel",
            "void hourglass::cuda::f<(hourglass::Activation)1, 4>(hourglass::cuda::(anonymous namespace)::S, void (*)())":
                "f<relu, 4>",
            "void hourglass::cuda::loss_kernel<hourglass::cuda::(anonymous namespace)::SquaredError<(hourglass::Activation)0"
            ">, 1, true>(hourglass::cuda::Strips)": "loss_kernel<SquaredError<linear>, 1, true>",
            "void k<(hourglass::Unheard)7>()": "k<(Unheard)7>",
        }.items():
            self.assertEqual(report.short_name(full, enums), short)

    def test_enumerators(self):
        with tempfile.TemporaryDirectory() as folder:
            headers = pathlib.Path(folder) / "kernels"
            headers.mkdir()
            (headers / "a.hpp").write_text("enum class Loss {\n  bce,  // enum class Not { a }\n  mse };\n"
                                           "enum class Turn : bool { no = false, yes = true };\n"
                                           "enum class Code : int { a = 3, b, c = 0x10 };\n")
            self.assertEqual(report.enumerators(pathlib.Path(folder)), {
                "Loss": {0: "bce", 1: "mse"}, "Turn": {0: "no", 1: "yes"}, "Code": {3: "a", 4: "b", 16: "c"}})

    def test_the_project_has_the_activations(self):
        self.assertEqual(report.enumerators(tools_path.ROOT)["Activation"][1], "relu")


def row(name: str = "adam_kernel<4>", file: str = "adam.cu", **resources) -> report.Row:
    kernel = cubin.Kernel("mangled", 90, **{"registers": 48, "threads": 256, "code": 640, **resources})
    kernel.accesses.update({("load", 128): 4, ("store", 128): 3})
    return report.Row(file, name, kernel)


def expectations(text: str) -> list:
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "expectations.txt"
        file.write_text(text)
        return report.read_expectations(file)


class Limits(unittest.TestCase):
    def problems(self, text: str, *rows) -> list:
        return report.unmet(list(rows) or [row()], expectations(text))

    def test_met(self):
        self.assertEqual(self.problems("# a comment\n\nadam_kernel<\\d>  load128>=4 store128==3 registers<=48 local==0 "
                                       "load32==0 load>=4 warps==40\n"), [])

    def test_not_met(self):
        self.assertEqual(self.problems("adam_kernel<4>  load128>=5\n"),
                         ["adam.cu: adam_kernel<4>: load128 is 4, expected >= 5 (expectations.txt:1)"])

    def test_stack_and_spills_are_refused_unless_granted(self):
        kernel = row(stack=16)
        kernel.resources.accesses["local_store", 0] = 2
        found = self.problems("adam.*\n", kernel)
        self.assertEqual(len(found), 2, found)
        self.assertIn("stack is 16, expected == 0", found[0])
        self.assertIn("local is 2, expected == 0", found[1])
        self.assertEqual(self.problems("adam.*  stack<=16 local<=2\n", kernel), [])
        self.assertEqual(len(self.problems("adam.*  stack<=8 local<=2\n", kernel)), 1)

    def test_every_kernel_has_a_line_and_every_line_a_kernel(self):
        found = self.problems("adam_kernel\ngather.*\n")
        self.assertIn("adam.cu: adam_kernel<4>: no line of expectations.txt names it", found)
        self.assertIn("expectations.txt:2: gather.* names no kernel", found)

    def test_a_line_that_says_nothing_is_refused(self):
        for text in ("adam.*  load128\n", "adam.*  load128>4\n"):
            with self.assertRaisesRegex(ValueError, "expectations.txt:1"):
                expectations(text)
        with self.assertRaisesRegex(ValueError, "unknown quantity"):
            self.problems("adam.*  speed>=9\n")

    def test_the_projects_own_can_be_read(self):
        self.assertGreater(len(report.read_expectations(tools_path.ROOT / "kernels" / "expectations.txt")), 10)

    def test_resident_warps(self):
        # As the occupancy calculator has it for sm_90.
        for registers, threads, shared, warps in ((32, 256, 0, 64), (33, 256, 0, 48), (48, 256, 0, 40), (255, 256, 0, 8),
                                                  (32, 1024, 0, 64), (32, 32, 0, 32), (32, 256, 100_000, 16)):
            kernel = cubin.Kernel("k", 90, registers=registers, threads=threads, shared=shared)
            self.assertEqual(report.resident_warps(kernel), warps, (registers, threads, shared))


class Page(unittest.TestCase):
    def test_compares_with_what_was_recorded(self):
        rows = [row(), row("kl_kernel<1>", "kl_penalty.cu")]
        recorded = report.page("13.0.88", rows)
        self.assertEqual(report.compare(recorded, "13.0.88", rows), ([], ""))
        changed = [row(registers=50), row("kl_kernel<2>", "kl_penalty.cu")]
        found, remark = report.compare(recorded, "13.0.88", changed)
        self.assertEqual(remark, "")
        self.assertIn("adam.cu: adam_kernel<4>: registers 48 in RESOURCES.md, measured 50", found)
        self.assertIn("kl_penalty.cu: kl_kernel<1> is in RESOURCES.md and no more in the code", found)
        self.assertIn("kl_penalty.cu: kl_kernel<2> is not in RESOURCES.md", found)

    def test_another_compiler_is_not_compared(self):
        found, remark = report.compare(report.page("13.0.88", [row()]), "13.0.9", [row(registers=50)])
        self.assertEqual(found, [])
        self.assertIn("CUDA 13.0.88, sm_90", remark)
        self.assertIn("CUDA 13.0.9, sm_90", remark)

    def test_a_missing_or_edited_page_is_a_difference(self):
        self.assertNotEqual(report.changes("", report.page("13.0.88", [row()])), [])
        page = report.page("13.0.88", [row()])
        self.assertNotEqual(report.compare(page + "\nA remark.\n", "13.0.88", [row()])[0], [])


class Commands(unittest.TestCase):
    def test_only_the_target_and_the_kind_of_output_change(self):
        entry = {"words": "/opt/nvcc -O3 --generate-code=arch=compute_80,code=[compute_80,sm_80] -lineinfo -MD -MT a.o -MF "
                          "a.d -x cu -c /p/kernels/cuda/adam.cu -o a.o".split()}
        words = report.cubin_command(entry, pathlib.Path("/t/adam.cubin"))
        if pathlib.Path(words[0]).name == "ccache":
            del words[0]
        self.assertEqual(words, "/opt/nvcc -O3 -lineinfo -x cu -c /p/kernels/cuda/adam.cu -cubin --generate-code=arch="
                                "compute_90,code=sm_90 -o /t/adam.cubin".split())

    def test_a_tree_without_cuda_cannot_be_measured(self):
        with tempfile.TemporaryDirectory() as folder:
            tree = pathlib.Path(folder)
            with self.assertRaisesRegex(report.Unmeasurable, "no CUDA backend"):
                report.cuda_commands(tree)
            # Tests compile the same file for the CPU.
            (tree / "compile_commands.json").write_text(
                '[{"directory": "/b", "command": "/usr/bin/c++ -c /p/kernels/cuda/adam.cu -o a.o", '
                '"file": "/p/kernels/cuda/adam.cu"}]')
            with self.assertRaisesRegex(report.Unmeasurable, "no CUDA backend"):
                report.cuda_commands(tree)


if __name__ == "__main__":
    unittest.main()
