"""tools/gpu-check without a GPU: how it reads what the programs say, what it writes, and, with programs that only pretend,
that green is green, and that a failure, a skip or a cut step is not."""

import contextlib
import io
import json
import os
import pathlib
import re
import sys
import tempfile
import unittest
from unittest import mock

import tools_path
import gpu_check
import gpu_report

RECORDED = (pathlib.Path(__file__).parent / "benchmarks.json").read_text()


class Benchmarks(unittest.TestCase):
    def test_recorded(self):
        found = gpu_report.benchmarks(RECORDED)
        self.assertTrue(found["complete"])
        self.assertEqual([result["name"] for result in found["results"]],
                         ["cpu/adam/50992/warm", "cpu/adam/50992/cold", "cpu/fma_chain/1024x1024/warm",
                          "cpu/fma_chain/1024x1024/cold"])
        first = found["results"][0]
        self.assertAlmostEqual(first["seconds"], 1.5257363636363639e-05)
        self.assertEqual(set(first["counters"]), {"bytes/s", "flop/s", "share", "spread"})
        self.assertAlmostEqual(first["counters"]["bytes/s"], 9.3579469823810852e+10)
        self.assertIn("cpu.copy_bytes_per_second", found["context"])
        self.assertNotIn("host_name", found["context"])
        self.assertNotIn("executable", found["context"])
        self.assertEqual(found["errors"], [])

    def test_a_file_cut_anywhere(self):
        whole = gpu_report.benchmarks(RECORDED)["results"]
        counts = set()
        for length in range(0, len(RECORDED), 3):
            found = gpu_report.benchmarks(RECORDED[:length])
            self.assertEqual(found["results"], whole[:len(found["results"])])
            if length < len(RECORDED.rstrip()):
                self.assertFalse(found["complete"], length)
            counts.add(len(found["results"]))
        self.assertEqual(counts, {0, 1, 2, 3, 4})

    def test_medians_and_errors(self):
        def entry(name, **more):
            return dict({"name": name, "run_name": name, "real_time": 2.0, "time_unit": "ms"}, **more)

        found = gpu_report.benchmarks(json.dumps({"benchmarks": [
            entry("a/repeats:3", real_time=9.0), entry("a/repeats:3", real_time=1.0, aggregate_name="median"),
            entry("a/repeats:3", real_time=5.0, aggregate_name="mean"),
            entry("b", error_occurred=True, error_message="out of memory"), entry("c", items=3)]}))
        self.assertEqual([(r["name"], r["seconds"], r["counters"]) for r in found["results"]],
                         [("a", 0.001, {}), ("c", 0.002, {"items": 3})])
        self.assertEqual(found["errors"], ["b: out of memory"])

    def test_cells(self):
        self.assertEqual(gpu_report.with_prefix(3.0123e12, "B/s"), "3.01 TB/s")
        self.assertEqual(gpu_report.with_prefix(1.5e-5, "s"), "15 us")
        self.assertEqual(gpu_report.with_prefix(0.0), "0")
        self.assertEqual(gpu_report.counter_cell("share", 0.9314), "93.1 %")
        self.assertEqual(gpu_report.counter_cell("bytes/s", 2.5e11), "250 G")
        self.assertEqual(gpu_report.counter_cell("bytes/s", None), "")
        self.assertEqual(gpu_report.context_cell("cuda.copy_bytes_per_second", "2.9e+12"), "2.9 TB/s")
        self.assertEqual(gpu_report.context_cell("cuda.name", "NVIDIA H100"), "NVIDIA H100")

    def test_slug(self):
        self.assertEqual(gpu_report.slug("NVIDIA H100 80GB HBM3"), "nvidia-h100-80gb-hbm3")
        self.assertEqual(gpu_report.slug("../ (TM)"), "tm")
        self.assertEqual(gpu_report.slug("///"), "gpu")


class Outcomes(unittest.TestCase):
    def test_of_all_steps(self):
        def outcome(*said):
            return gpu_report.outcome([{"outcome": one} for one in said])

        self.assertEqual(outcome("passed", "passed"), "green")
        self.assertEqual(outcome("passed", "incomplete"), "incomplete")
        self.assertEqual(outcome("incomplete", "failed", "passed"), "failed")
        self.assertEqual(outcome(), "incomplete")

    def gtest(self, *results, status=0):
        tests = [{"name": f"t{i}", "result": "SKIPPED" if r == "skip" else "COMPLETED",
                  **({"failures": [{"failure": "x"}]} if r == "fail" else {})} for i, r in enumerate(results)]
        return gpu_check.judge_gtest({"testsuites": [{"name": "S", "testsuite": tests}]}, status)

    def test_gtest(self):
        self.assertEqual(self.gtest("ok", "ok"), "2 tests")
        for results, status, said in ((("ok", "fail"), 1, "1 of 2 tests failed: S.t1"), (("ok", "skip"), 0, "skipped.*S.t1"),
                                      ((), 0, "no test"), (("ok",), 1, "status 1"), (("ok",), -11, "status -11")):
            with self.assertRaisesRegex(gpu_check.StepFailed, said):
                self.gtest(*results, status=status)

    OK = "[       OK ] On/Adam.MatchesTheOracle/cuda (3 ms)\n"
    BANNER = "========= COMPUTE-SANITIZER\n"
    WRITE = ("========= Invalid __global__ write of size 4 bytes\n"
             "=========     at void hourglass::cuda::<unnamed>::adam_kernel<4>(float *)+0x110 in adam.cu:40\n"
             "=========     by thread (0,0,0) in block (0,0,0)\n"
             "=========     Address 0x7f00 is out of bounds\n"
             "=========     and is 1 bytes after the nearest allocation at 0x7e00 of size 4 bytes\n"
             "=========     Saved host backtrace up to driver entry point at kernel launch time\n"
             "=========         Host Frame: cuLaunchKernel [0x2774ec] in libcuda.so.1\n=========\n")
    READ = ("========= Uninitialized __global__ memory read of size 16 bytes\n"
            "=========     at ampere_sgemm_64x32_sliced1x4_tn+0xb0\n=========     by thread (1,0,0) in block (0,0,0)\n=========\n")

    def sanitizer(self, tool, status, log, output=OK):
        return gpu_check.judge_sanitizer(tool, gpu_check.Done(status, output, 12.0), self.BANNER + log)

    def test_sanitizer(self):
        clean = "========= ERROR SUMMARY: 0 errors\n"
        self.assertEqual(self.sanitizer("memcheck", 0, clean), "1 tests")
        self.assertEqual(self.sanitizer("racecheck", 0, "========= RACECHECK SUMMARY: 0 hazards displayed\n"), "1 tests")
        with self.assertRaisesRegex(gpu_check.StepFailed, "1 findings, first: Invalid __global__ write.*adam_kernel<4>"):
            self.sanitizer("memcheck", 99, self.WRITE + "========= ERROR SUMMARY: 1 error\n")
        race = "========= Error: Race reported between Write access at hourglass::cuda::k()+0x90 in a.cu:16\n"
        with self.assertRaisesRegex(gpu_check.StepFailed, "Race reported"):
            self.sanitizer("racecheck", 99, race)
        # A finding counts even where the run was cut behind it.
        with self.assertRaises(gpu_check.StepFailed):
            self.sanitizer("memcheck", None, self.WRITE)
        with self.assertRaisesRegex(gpu_check.StepIncomplete, "cut after 12 s, 1 tests done"):
            self.sanitizer("memcheck", None, "")

    def test_a_library_may_read_what_it_never_wrote(self):
        self.assertIn("1 findings in kernels of CUDA's libraries", self.sanitizer("initcheck", 99, self.READ))
        with self.assertRaises(gpu_check.StepFailed):
            self.sanitizer("memcheck", 99, self.READ)
        with self.assertRaisesRegex(gpu_check.StepFailed, "^1 findings, first: Invalid"):
            self.sanitizer("initcheck", 99, self.READ + self.WRITE)

    def test_a_sanitizer_that_saw_no_test_proves_nothing(self):
        with self.assertRaisesRegex(gpu_check.StepFailed, "no test"):
            self.sanitizer("memcheck", 0, "", output="")
        with self.assertRaisesRegex(gpu_check.StepFailed, "ended with 1"):
            self.sanitizer("memcheck", 1, "", output=self.OK + "[  FAILED  ] On/A.B/cuda\n")
        with self.assertRaisesRegex(gpu_check.StepFailed, "failed or was skipped"):
            self.sanitizer("memcheck", 0, "", output=self.OK + "[  SKIPPED ] On/A.B/cuda\n")
        with self.assertRaisesRegex(gpu_check.StepIncomplete, "does not work here"):
            self.sanitizer("memcheck", 99, "========= Error: Device not supported. See the documentation.\n")

    def test_nan_is_close_to_nothing(self):
        gpu_check.close("x", 1.0, 1.0005, 1e-3)
        for a, b in ((1.0, 1.01), (float("nan"), float("nan")), (1.0, float("nan")), (1.0, float("inf"))):
            with self.assertRaises(gpu_check.StepFailed):
                gpu_check.close("x", a, b, 1e-3)


# Programs that answer as the real ones do. {trouble} makes one of them go wrong.
PRETENDERS = {
    "hourglass": """
        option = lambda name, otherwise=None: (sys.argv[sys.argv.index(name) + 1] if name in sys.argv else otherwise)
        result = {"timings": {"train": 1.0, "total": 2.0}}
        command = sys.argv[1]
        if command == "devices":
            if trouble == "library": print("never"); sys.exit(4)
            result["devices"] = [{"id": "cuda:0", "backend": "cuda", "name": "P", "memory_bytes": 1 << 33}]
            if trouble == "no module": result.update(devices=[], no_cuda_reason="the driver is too old")
        if command == "train":
            loss = 0.5 if trouble == "figures" and option("--device") == "cuda" else 0.25
            result["history"] = {"loss": [0.5, loss]}
        if command == "pca": result["explained_variance"] = [2.0, 1.0]
        if command == "score": result.update(kl_divergence=1.5, one_nn_accuracy=0.9)
        if command == "article":
            folder = pathlib.Path(option("--out")); folder.mkdir()
            (folder / "report.html").write_text("" if trouble == "article" else "<html>")
            result["tables"] = [{"title": "Experiments", "header": ["experiment", "1-NN"], "rows": [["simple", "95 %"]]}]
        if out := option("--out"):
            if command != "article":
                pathlib.Path(out).write_text(os.urandom(8).hex() if trouble == "twice" and command == "tsne" else command)
        if option("--json"): pathlib.Path(option("--json")).write_text(json.dumps(result))
        """,
    "parity_test": """
        print("[       OK ] On/Adam.MatchesTheOracle/cuda (3 ms)")
        for a in sys.argv:
            if a.startswith("--gtest_output=json:"):
                if trouble == "slow" : time.sleep(60)
                result = "SKIPPED" if trouble == "skip" else "COMPLETED"
                pathlib.Path(a[20:]).write_text(json.dumps({"testsuites": [{"name": "S", "testsuite": [
                    {"name": "t", "result": result}]}]}))
        """,
    "hourglass_bench": """
        out = next(a[16:] for a in sys.argv if a.startswith("--benchmark_out="))
        recorded = open(RECORDED).read()
        pathlib.Path(out).write_text(recorded[:1800] if trouble == "bench" else recorded)
        if trouble == "bench": time.sleep(60)
        """,
    "nvidia-smi": """
        if trouble == "no gpu": print("No devices were found"); sys.exit(6)
        print("NVIDIA Pretender 9, 81559, 580.1, 9.0" if "-i" in sys.argv else "| CUDA Version: 13.0 |")
        """,
    "compute-sanitizer": """
        log = sys.argv[sys.argv.index("--log-file") + 1]
        found = "========= Error: Race reported\\n" if trouble == "race" and "racecheck" in sys.argv else ""
        pathlib.Path(log).write_text("========= COMPUTE-SANITIZER\\n" + found)
        print("[       OK ] On/Adam.MatchesTheOracle/cuda (3 ms)")
        sys.exit(99 if found else 0)
        """,
    "compare.py": """
        out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1]); out.mkdir()
        left = "failed: no memory" if trouble == "peer" else "not installed: no torch"
        (out / "peers.json").write_text(json.dumps({"train": {"PyTorch": left}, "tsne": {}}))
        (out / "peers.md").write_text("# Beside peers\\n")
        """,
}


class Whole(unittest.TestCase):
    def run_check(self, trouble: str = "", minutes: float = 8.0, *more: str, without: tuple = ()):
        """The exit status, what was said, and the result that was written, or None."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "out").mkdir()
            for place, names in (("build", ("hourglass", "parity_test", "hourglass_bench")),
                                 ("bin", ("nvidia-smi", "compute-sanitizer")), ("bench/peers", ("compare.py",))):
                (root / place).mkdir(parents=True)
                for name in names:
                    self.pretend(root / place / name, name, trouble)
            for name in ("train_test", "train_slow_test", "golden_test"):
                self.pretend(root / "build" / name, "parity_test", "")
            (root / "build" / "libhourglass_cuda.so").write_bytes(b"\0libcublas.so.13\0libcufft.so.12\0")
            (root / "packed.json").write_text('{"commit": "abc123", "cuda": "13.0.88", "architectures": "90-real"}')
            for name in without:
                (root / name).unlink()
            arguments = ["gpu_check.py", "--root", folder, "--out", str(root / "out"), "--minutes", str(minutes), *more]
            environment = {"PATH": f"{root / 'bin'}:/usr/bin:/bin"}
            said = io.StringIO()
            with mock.patch.dict(os.environ, environment), mock.patch.object(sys, "argv", arguments), \
                    mock.patch.object(gpu_check, "has_module", lambda python, module: python == sys.executable), \
                    contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                status = gpu_check.main()
            written = list((root / "out").rglob("*.json"))
            result = json.loads(written[0].read_text()) if written else None
            self.files = {path.relative_to(root / "out").as_posix(): path.read_text()
                          for path in (root / "out").rglob("*") if path.is_file()}
            return status, said.getvalue(), result

    @staticmethod
    def pretend(path: pathlib.Path, name: str, trouble: str) -> None:
        body = "\n".join(line[8:] for line in PRETENDERS[name].splitlines())
        path.write_text(f"#!{sys.executable}\nimport json, os, pathlib, sys, time\ntrouble = {trouble!r}\n"
                        f"RECORDED = {str(pathlib.Path(__file__).parent / 'benchmarks.json')!r}\n{body}\n")
        path.chmod(0o755)

    def outcome_of(self, result: dict, name: str) -> tuple:
        step = next(step for step in result["steps"] if step["name"] == name)
        return step["outcome"], step["detail"]

    def test_green(self):
        status, said, result = self.run_check()
        self.assertEqual((status, result["outcome"]), (0, "green"), said)
        self.assertEqual({step["outcome"] for step in result["steps"]}, {"passed"})
        self.assertEqual([step["name"] for step in result["steps"]],
                         ["parity", "memcheck", "racecheck", "initcheck", "synccheck", "whole models", "golden trainings",
                          "reference losses", "same figures", "benchmarks", "peers", "article"])
        date = result["date"]
        self.assertEqual(sorted(self.files), [f"nvidia-pretender-9/{date}.{e}" for e in ("json", "log", "md")])
        page = self.files[f"nvidia-pretender-9/{date}.md"]
        for expected in (f"# NVIDIA Pretender 9, {date}: green", "| commit | abc123 |", "580.1, CUDA 13.0", "sm_90",
                         "libcublas.so.13, libcufft.so.12", "| cpu/adam/50992/warm | 15.3 us | 93.6 G | 40.1 G |", "| simple | 95 % |",
                         "## Beside peers"):
            self.assertIn(expected, page)
        self.assertIn("12 passed, 0 failed, 0 incomplete: green", said)
        # Nothing of this machine's folders is kept.
        self.assertNotIn("/tmp", page + self.files[f"nvidia-pretender-9/{date}.json"])

    def test_what_goes_wrong_is_not_green(self):
        for trouble, step, outcome, detail in (
                ("skip", "parity", "failed", "skipped"), ("race", "racecheck", "failed", "Race reported"),
                ("figures", "same figures", "failed", "training loss of epoch 2"),
                ("twice", "same figures", "failed", "map.npy differs"), ("peer", "peers", "incomplete", "failed: no memory"),
                ("article", "article", "failed", "report.html")):
            with self.subTest(trouble):
                status, said, result = self.run_check(trouble)
                self.assertEqual((status, result["outcome"]), (1, outcome), said)
                self.assertEqual(self.outcome_of(result, step)[0], outcome)
                self.assertIn(detail, self.outcome_of(result, step)[1])
                self.assertEqual(sum(one["outcome"] != "passed" for one in result["steps"]), 1)
                self.assertRegex(said, rf"(?m)^  {step}: ")

    def test_what_is_cut_or_missing_is_incomplete(self):
        with mock.patch.object(gpu_check, "LEAST_SECONDS", 0.5):
            status, said, result = self.run_check("bench", 0.15)
        self.assertEqual((status, result["outcome"]), (1, "incomplete"), said)
        self.assertRegex(self.outcome_of(result, "benchmarks")[1], "cut after .* 1 benchmarks done")
        self.assertEqual(len(result["benchmarks"]["results"]), 1)
        with mock.patch.object(gpu_check, "LEAST_SECONDS", 0.5):
            status, said, result = self.run_check("slow", 0.1)
        self.assertEqual(status, 1)
        self.assertRegex(self.outcome_of(result, "parity")[1], "cut after .* 1 tests done")
        with mock.patch.object(gpu_check, "find_tool", lambda name: None):
            status, said, result = self.run_check()
        self.assertEqual((status, result["outcome"]), (1, "incomplete"))
        self.assertEqual(self.outcome_of(result, "memcheck"), ("incomplete", "compute-sanitizer is not installed"))
        status, said, result = self.run_check(without=("build/train_slow_test",))
        self.assertEqual((status, self.outcome_of(result, "reference losses")[0]), (1, "failed"))

    def test_no_time_left(self):
        status, said, result = self.run_check("", 0.01)
        self.assertEqual((status, result["outcome"]), (1, "incomplete"))
        self.assertIn("not begun: no time was left", {step["detail"] for step in result["steps"]})

    def test_no_device(self):
        for trouble, line in (("no gpu", "no NVIDIA GPU: nvidia-smi says No devices were found"),
                              ("no module", "NVIDIA Pretender 9, driver 580.1: the driver is too old"),
                              ("library", "hourglass devices: never")):
            with self.subTest(trouble):
                status, said, result = self.run_check(trouble)
                self.assertEqual((status, result), (4, None))
                self.assertEqual(len(said.splitlines()), 1, said)
                self.assertIn(line, said)
        self.assertEqual(self.run_check("no gpu", 8, "--probe")[0], 4)
        self.assertEqual(self.run_check("", 8, "--probe")[0], 0)

    def test_libraries_of_wheels_are_found_in_a_folder_each(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for place, name in (("cublas", "libcublas.so.13"), ("cufft", "libcufft.so.12"), ("build", "module")):
                (root / place).mkdir()
                (root / place / name).write_bytes(b"")
            (root / "build" / "libhourglass_cuda.so").write_bytes(b"libcufft.so.12\0libcublas.so.13")

            def why(check):
                there = all(str(root / place) in check.library_path.split(":") for place in ("cublas", "cufft"))
                return "" if there else "libcufft.so.12: cannot open shared object file"

            for places, found in ((["cublas", "cufft"], True), (["cublas"], False)):
                check = gpu_check.Check(root, root, 60.0)
                with mock.patch.object(gpu_check, "why_no_cuda", why), \
                        mock.patch.object(gpu_check, "query_gpu", lambda environment: {"name": "P", "driver": "1"}), \
                        mock.patch.object(gpu_check, "cuda_folders", lambda: [root / place for place in places]):
                    if found:
                        gpu_check.find_device(check)
                    else:
                        with self.assertRaisesRegex(gpu_check.NoDevice, "^libcufft.so.12 was not found"):
                            gpu_check.find_device(check)

    def test_cublas_is_looked_for_where_cuda_puts_it(self):
        with tempfile.TemporaryDirectory() as folder:
            for version in ("12", "13"):
                lib = pathlib.Path(folder) / f"cuda-{version}" / "lib64"
                lib.mkdir(parents=True)
                (lib / f"libcublas.so.{version}").write_bytes(b"")
            toolkit = pathlib.Path(folder) / "cuda-13"
            with mock.patch.dict(os.environ, {"CUDA_HOME": str(toolkit)}):
                self.assertIn(toolkit / "lib64", gpu_check.cuda_folders())

            def why(check):
                return "" if str(toolkit) in check.library_path else \
                    "the CUDA backend does not load: libcublas.so.13: cannot open shared object file"

            for folders, found in (([f"{folder}/cuda-12/lib64", f"{folder}/cuda-13/lib64"], True),
                                   ([f"{folder}/cuda-12/lib64"], False)):
                root = pathlib.Path(folder)
                (root / "build").mkdir(exist_ok=True)
                (root / "build" / "libhourglass_cuda.so").write_bytes(b"libcublas.so.13")
                check = gpu_check.Check(root, root, 60.0)
                with mock.patch.object(gpu_check, "why_no_cuda", why), \
                        mock.patch.object(gpu_check, "query_gpu", lambda environment: {"name": "P", "driver": "1"}), \
                        mock.patch.object(gpu_check, "cuda_folders", lambda: [pathlib.Path(f) for f in folders]):
                    if found:
                        gpu_check.find_device(check)
                        self.assertTrue(check.library_path.startswith(f"{folder}/cuda-13/lib64"))
                    else:
                        with self.assertRaisesRegex(gpu_check.NoDevice, "libcublas.so.13 was not found.*there is "
                                                                        "libcublas.so.12"):
                            gpu_check.find_device(check)


class Tree(unittest.TestCase):
    def test_every_module_is_packed(self):
        """A packed tree has tools/lib/gpu_*.py and nothing else of Python."""
        for file in (tools_path.ROOT / "tools" / "lib").glob("gpu_*.py"):
            for module in re.findall(r"^(?:import|from) (\w+)", file.read_text(), re.MULTILINE):
                self.assertTrue(module in sys.stdlib_module_names or module.startswith("gpu_"), f"{file.name}: {module}")


if __name__ == "__main__":
    unittest.main()
