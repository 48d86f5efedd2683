"""Puts the CUDA backend to the test on a machine with an NVIDIA GPU and times it. tools/gpu-check builds, or finds what was
packed, and calls this.

First the checks, side by side: parity of every operation, the four tools of compute-sanitizer, whole models. Then, one
after the other so that nothing disturbs the clock: benchmarks, the peers, the article. Every step has a budget, and all
share one limit; what is cut or not begun makes the outcome incomplete, never green."""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import datetime
import glob
import hashlib
import json
import math
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import gpu_report
from gpu_report import FAILED, INCOMPLETE, PASSED

NO_DEVICE = 4  # exit status
SANITIZER_TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
SANITIZER_STATUS = 99  # what compute-sanitizer ends with where it found something
CHECKS_SHARE = 0.45  # of the limit, for the checks that run side by side
LEAST_SECONDS = 5  # with less, a step is not begun
ON_CUDA = "*/cuda*:BackendsUnderTest.*"
UNKNOWN_GPU = "unknown GPU"  # there is one, and no nvidia-smi to ask


class NoDevice(Exception):
    """There is no GPU here that could be used; one line says why."""


class StepFailed(Exception):
    pass


class StepIncomplete(Exception):
    pass


@dataclasses.dataclass
class Step:
    name: str
    outcome: str = INCOMPLETE
    seconds: float = 0.0
    detail: str = "not begun"

    def record(self) -> dict:
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Done:
    status: int | None  # None: stopped at its limit
    output: str
    seconds: float


def stop(process: subprocess.Popen) -> None:
    """Ends a process that was started in a session of its own, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Check:
    def __init__(self, root: pathlib.Path, scratch: pathlib.Path, limit: float):
        self.root = root
        self.build = root / "build"
        self.scratch = scratch
        self.begin = time.monotonic()
        self.limit = limit
        self.environment = dict(os.environ, HOURGLASS_REQUIRE_GPU="1", PYTHONUNBUFFERED="1")
        self.environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi numbers them
        self.environment.setdefault("CUDA_VISIBLE_DEVICES", "0")
        self.library_path = ""  # where cuBLAS and cuFFT are, if the loader does not know by itself
        self.cuda_device: dict = {}  # as `hourglass devices` describes it
        self.steps: list[Step] = []
        self.running: set[subprocess.Popen] = set()
        self.log_lock = threading.Lock()
        self.log = scratch / "log"

    # ---- processes ----

    def left(self) -> float:
        return self.limit - (time.monotonic() - self.begin)

    def run(self, *command, limit: float, with_cuda: bool = True, **variables) -> Done:
        """Runs a command for at most `limit` seconds and keeps what it says in the log."""
        environment = dict(self.environment, **variables)
        if self.library_path and with_cuda:
            environment["LD_LIBRARY_PATH"] = self.library_path
        words = [str(word) for word in command]
        begin = time.monotonic()
        with tempfile.TemporaryFile(dir=self.scratch) as output:
            process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            self.running.add(process)
            try:
                status = process.wait(max(min(limit, self.left()), 0.1))
            except subprocess.TimeoutExpired:
                status = None
            finally:
                stop(process)
                self.running.discard(process)
            output.seek(0)
            said = output.read().decode(errors="replace")
        seconds = time.monotonic() - begin
        with self.log_lock, self.log.open("a") as log:
            ended = "stopped" if status is None else f"status {status}"
            log.write(f"\n=== {' '.join(words)}\n=== {ended} after {seconds:.1f} s\n{said[-200_000:]}\n")
        return Done(status, said, seconds)

    def abandon(self) -> None:
        """Ends what is running, and lets nothing begin any more."""
        self.limit = 0.0
        for process in list(self.running):
            stop(process)

    def hourglass(self, *arguments, limit: float, device: str = "cuda") -> dict:
        """The JSON of a command; raises where it fails or is cut."""
        file = self.scratch / f"result-{threading.get_ident()}.json"
        done = self.run(self.build / "hourglass", *arguments, "--device", device, "--json", file, "--quiet", limit=limit)
        if done.status is None:
            raise StepIncomplete(f"hourglass {arguments[0]} on {device} was cut after {done.seconds:.0f} s")
        if done.status != 0:
            raise StepFailed(f"hourglass {arguments[0]} on {device}: {last_line(done.output)}")
        return json.loads(file.read_text())

    def step(self, name: str, body, budget: float) -> None:
        """Runs `body(budget)`, which returns a line or raises. Its budget is what is left, at most."""
        step = Step(name)
        self.steps.append(step)
        budget = min(budget, self.left())
        begin = time.monotonic()
        if budget < LEAST_SECONDS:
            step.detail = "not begun: no time was left"
        else:
            try:
                step.detail = body(budget)
                step.outcome = PASSED
            except StepFailed as reason:
                step.outcome, step.detail = FAILED, str(reason)
            except StepIncomplete as reason:
                step.outcome, step.detail = INCOMPLETE, str(reason)
            except (OSError, ValueError, KeyError, TypeError) as error:  # no such program, no such result
                step.outcome, step.detail = FAILED, f"{type(error).__name__}: {error}"
        step.seconds = time.monotonic() - begin
        print(f"{name}: {step.outcome} after {step.seconds:.1f} s: {step.detail}", file=sys.stderr, flush=True)


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


# ---- the machine ----

def query_gpu(environment: dict) -> dict:
    """What nvidia-smi says of the GPU under test. Raises NoDevice where there is none."""
    nodes = glob.glob("/dev/nvidia[0-9]*") + glob.glob("/dev/dxg")
    program = shutil.which("nvidia-smi") or next(iter(glob.glob("/usr/lib/wsl/lib/nvidia-smi")), None)
    if program is None:
        if not nodes:
            raise NoDevice("no NVIDIA GPU: no nvidia-smi and no /dev/nvidia*")
        return {"name": UNKNOWN_GPU, "memory_mib": 0, "driver": "unknown", "compute_capability": "0.0",
                "driver_cuda": "unknown"}
    fields = ("name", "memory.total", "driver_version", "compute_cap")
    first = environment["CUDA_VISIBLE_DEVICES"].split(",")[0]
    try:
        done = subprocess.run([program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "-i", first],
                              text=True, capture_output=True, timeout=30)
        banner = subprocess.run([program], text=True, capture_output=True, timeout=30).stdout
    except subprocess.TimeoutExpired:
        raise NoDevice("nvidia-smi does not answer within 30 s") from None
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")] if done.stdout.strip() else []
    if done.returncode != 0 or len(values) != len(fields):
        raise NoDevice(f"no NVIDIA GPU: nvidia-smi says {last_line(done.stdout + done.stderr)}")
    cuda = re.search(r"CUDA Version: *([\d.]+)", banner)
    return {"name": values[0], "memory_mib": int(values[1]) if values[1].isdigit() else 0, "driver": values[2],
            "compute_capability": values[3], "driver_cuda": cuda[1] if cuda else "unknown"}


def machine() -> dict:
    model = platform.processor() or platform.machine()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform())
    except OSError:
        system = platform.platform()
    return {"processor": model, "cores": len(os.sched_getaffinity(0)), "system": system}


def pythons() -> list[str]:
    """The Pythons of this machine, this one first."""
    found = [sys.executable, shutil.which("python3"), "/usr/bin/python3"]
    return list(dict.fromkeys(python for python in found if python and os.access(python, os.X_OK)))


def has_module(python: str, module: str) -> bool:
    try:
        return subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def cuda_folders() -> list[pathlib.Path]:
    """Where CUDA's toolkits are, and after them the libraries of Python's wheels."""
    toolkits = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda", "/opt/cuda",
                *sorted(glob.glob("/usr/local/cuda-*"), reverse=True)]
    folders = [pathlib.Path(toolkit) / below for toolkit in toolkits if toolkit
               for below in ("lib64", "lib", "targets/x86_64-linux/lib")]
    ask = "import sys, glob; [print(f) for p in sys.path for f in sorted(glob.glob(p + '/nvidia/*/lib'), reverse=True)]"
    for python in pythons():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            said = subprocess.run([python, "-c", ask], text=True, capture_output=True, timeout=30).stdout
            folders += [pathlib.Path(line) for line in said.splitlines()]
    return folders


def find_tool(name: str) -> str | None:
    """A program of CUDA, on PATH or in its toolkits."""
    if found := shutil.which(name):
        return found
    places = [f"{toolkit}/{below}{name}" for toolkit in ("/usr/local/cuda", *sorted(glob.glob("/usr/local/cuda-*"),
                                                                                   reverse=True), "/opt/cuda")
              for below in ("bin/", "compute-sanitizer/")]
    return next((place for place in places if os.access(place, os.X_OK)), None)


def cuda_libraries(module: pathlib.Path) -> list[str]:
    """libcublas.so.N and libcufft.so.N, those that the backend was linked with."""
    found = re.findall(rb"lib(?:cublas|cufft)\.so\.\d+", module.read_bytes())
    return sorted({name.decode() for name in found}) or ["libcublas.so"]


def find_device(check: Check) -> dict:
    """Makes the backend load, and returns what nvidia-smi and it say. cuBLAS and cuFFT are the libraries of CUDA that it
    needs and that are too big to bring along. Raises NoDevice."""
    gpu = query_gpu(check.environment)
    module = check.build / "libhourglass_cuda.so"
    if not module.is_file():
        raise NoDevice(f"{module} is not there: the tree was built without the CUDA backend")
    reason = why_no_cuda(check)
    if reason and "cannot open shared object file" in reason:
        wanted = cuda_libraries(module)
        folders = cuda_folders()
        holders = {name: [folder for folder in folders if (folder / name).exists()] for name in wanted}
        missing = [name for name in wanted if not holders[name]]
        for folder in holders[wanted[0]] if not missing else []:
            # A toolkit has them in one folder, Python's wheels may have one for each.
            places = [folder if folder in holders[name] else holders[name][0] for name in wanted]
            paths = dict.fromkeys([*map(str, places), os.environ.get("LD_LIBRARY_PATH", "")])
            check.library_path = ":".join(filter(None, paths))
            if (reason := why_no_cuda(check)) == "":
                break
        else:
            check.library_path = ""
            if any(name.split(".")[0] in reason for name in wanted):
                pattern = "|".join(re.escape(name.split(".")[0]) + r"\.so\.\d+" for name in missing or wanted)
                others = sorted({path.name for folder in folders for path in folder.glob("lib*.so.*")
                                 if re.fullmatch(pattern, path.name)})
                raise NoDevice(f"{' and '.join(missing or wanted)} was not found in CUDA_HOME, /usr/local/cuda*, /opt/cuda "
                               f"or Python's nvidia wheels{'; there is ' + ', '.join(others) if others else ''}: install "
                               "that version, or name its folder in LD_LIBRARY_PATH")
    if reason:
        raise NoDevice(f"{gpu['name']}, driver {gpu['driver']}: {reason}")
    if gpu["name"] == UNKNOWN_GPU:
        gpu["name"], gpu["memory_mib"] = check.cuda_device["name"], check.cuda_device["memory_bytes"] >> 20
    return gpu


def why_no_cuda(check: Check) -> str:
    file = check.scratch / "devices.json"
    done = check.run(check.build / "hourglass", "devices", "--json", file, "--quiet", limit=60)
    if done.status != 0:
        return f"hourglass devices: {last_line(done.output)}"
    found = json.loads(file.read_text())
    check.cuda_device = next((device for device in found["devices"] if device["backend"] == "cuda"), {})
    return "" if check.cuda_device else found["no_cuda_reason"]


# ---- the checks ----

def run_gtest(check: Check, program: str, what: str, budget: float, **variables) -> str:
    """A test program whose every test must run and pass."""
    file = check.scratch / f"{program}-{threading.get_ident()}.json"
    done = check.run(check.build / program, f"--gtest_filter={what}", f"--gtest_output=json:{file}", "--gtest_color=no",
                     limit=budget, **variables)
    if done.status is None:
        passed = len(re.findall(r"^\[ +OK \]", done.output, re.MULTILINE))
        raise StepIncomplete(f"cut after {done.seconds:.0f} s, {passed} tests done")
    if not file.is_file():
        raise StepFailed(f"{program} ended with {done.status}: {last_line(done.output)}")
    return judge_gtest(json.loads(file.read_text()), done.status)


def judge_gtest(report: dict, status: int) -> str:
    tests = [(f"{suite['name']}.{test['name']}", test) for suite in report.get("testsuites", [])
             for test in suite["testsuite"]]
    failed = [name for name, test in tests if test.get("failures")]
    skipped = [name for name, test in tests if test.get("result") != "COMPLETED" and not test.get("failures")]
    if failed:
        raise StepFailed(f"{len(failed)} of {len(tests)} tests failed: {', '.join(failed[:5])}")
    if skipped:
        raise StepFailed(f"{len(skipped)} of {len(tests)} tests were skipped, and none may be: {', '.join(skipped[:5])}")
    if not tests:
        raise StepFailed("no test was run")
    if status != 0:
        raise StepFailed(f"ended with status {status} though every test passed")
    return f"{len(tests)} tests"


@dataclasses.dataclass
class Finding:
    what: str
    kernel: str  # empty where none is named


def sanitizer_findings(log: str) -> list[Finding]:
    """What compute-sanitizer reports: a line behind `========= ` that is not indented, and after it indented ones, of which
    `at KERNEL+OFFSET` or, in older versions, `at OFFSET in KERNEL` names the kernel."""
    findings = []
    for line in log.splitlines():
        match = re.match(r"=========( +)(\S.*)", line)
        if not match:
            continue
        indented, text = len(match[1]) > 1, match[2]
        if not indented and not re.match(r"COMPUTE-SANITIZER|\w+ SUMMARY", text):
            findings.append(Finding(text, ""))
        elif findings and not findings[-1].kernel and (at := re.match(r"at (?:0x\w+ in )?(\S.*)", text)):
            findings[-1].kernel = at[1]
    return findings


def sanitize(check: Check, tool: str, budget: float) -> str:
    program = find_tool("compute-sanitizer")
    if program is None:
        raise StepIncomplete("compute-sanitizer is not installed")
    log = check.scratch / f"{tool}.log"
    done = check.run(program, "--tool", tool, "--error-exitcode", SANITIZER_STATUS, "--print-limit", 1000, "--log-file",
                     log, check.build / "parity_test", f"--gtest_filter={ON_CUDA}", "--gtest_color=no", limit=budget,
                     HOURGLASS_SMALL_SIZES="1")
    found = log.read_text(errors="replace") if log.is_file() else ""
    with check.log_lock, check.log.open("a") as whole:
        whole.write(found[-200_000:])
    return judge_sanitizer(tool, done, found)


def judge_sanitizer(tool: str, done: Done, log: str) -> str:
    findings = sanitizer_findings(log)
    # Libraries may read what they never wrote, such as padding of their own buffers; what our kernels do is ours.
    theirs = [f for f in findings if f.kernel and "hourglass" not in f.kernel] if tool == "initcheck" else []
    ours = [f for f in findings if f not in theirs]
    passed = len(re.findall(r"^\[ +OK \]", done.output, re.MULTILINE))
    if ours:
        first = ours[0]
        if re.search(r"not supported|Internal Sanitizer Error|Unable to|failed to initialize", first.what, re.IGNORECASE):
            raise StepIncomplete(f"compute-sanitizer does not work here: {first.what}")
        raise StepFailed(f"{len(ours)} findings, first: {first.what}{' at ' + first.kernel if first.kernel else ''}")
    if done.status is None:
        raise StepIncomplete(f"cut after {done.seconds:.0f} s, {passed} tests done and nothing found in them")
    if done.status not in (0, SANITIZER_STATUS) or (done.status == SANITIZER_STATUS and not theirs):
        raise StepFailed(f"parity_test under {tool} ended with {done.status}: {last_line(done.output)}")
    if passed == 0:
        raise StepFailed(f"no test was run under {tool}")
    if re.search(r"^\[ +(FAILED|SKIPPED) +\]", done.output, re.MULTILINE):
        raise StepFailed(f"a test failed or was skipped under {tool}")
    return f"{passed} tests" + (f"; {len(theirs)} findings in kernels of CUDA's libraries" if theirs else "")


def close(name: str, a: float, b: float, relative: float) -> None:
    """Raises unless b is within `relative` of a; NaN is close to nothing."""
    if not math.isclose(a, b, rel_tol=relative, abs_tol=1e-12):
        raise StepFailed(f"{name}: {a:.9g} on the CPU, {b:.9g} on CUDA, expected within {relative:g}")


def sha256(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def same_figures(check: Check, budget: float) -> str:
    """One job on the CPU and on CUDA gives the same figures but for rounding; twice on CUDA, the same bytes."""
    begin = time.monotonic()
    folder = check.scratch / "figures"
    folder.mkdir()

    def run(device: str, *arguments) -> dict:
        return check.hourglass(*arguments, device=device, limit=budget - (time.monotonic() - begin))

    def train(device: str, out: str) -> dict:
        return run(device, "train", "--data", "mnist:test", "--hidden", "64,16", "--scale", "unit", "--sparsity", "l1:1e-4",
                   "--epochs", "2", "--out", folder / out)

    def tsne(out: str) -> dict:
        return run("cuda", "tsne", "--data", folder / "codes.npy", "--iterations", "300", "--out", folder / out)

    here, there = train("cpu", "cpu.safetensors"), train("cuda", "cuda.safetensors")
    for epoch, (a, b) in enumerate(zip(here["history"]["loss"], there["history"]["loss"], strict=True), 1):
        close(f"training loss of epoch {epoch}", a, b, 1e-3)
    here, there = (run(device, "pca", "--data", "mnist:test", "--components", "5", "--out", folder / "pca.npy")
                   for device in ("cpu", "cuda"))
    for a, b in zip(here["explained_variance"], there["explained_variance"], strict=True):
        close("variance of a principal component", a, b, 1e-5)
    run("cuda", "encode", "--model", folder / "cuda.safetensors", "--data", "mnist:test", "--out", folder / "codes.npy")
    tsne("map.npy")
    here, there = (run(device, "score", "--map", folder / "map.npy", "--data", folder / "codes.npy", "--labels",
                       "mnist:test") for device in ("cpu", "cuda"))
    for name, value in here.items():
        if isinstance(value, float):
            # A probe is trained, and may put a few points on the other side.
            close(name, value, there[name], 5e-3 if "probe" in name else 1e-3)
    train("cuda", "again.safetensors")
    tsne("again.npy")
    for one, other in (("cuda.safetensors", "again.safetensors"), ("map.npy", "again.npy")):
        if sha256(folder / one) != sha256(folder / other):
            raise StepFailed(f"{one} differs between two equal runs on CUDA")
    return "training, PCA and scores as on the CPU; training and t-SNE twice the same bytes"


# ---- what is timed ----

def run_benchmarks(check: Check, found: dict, budget: float) -> str:
    """The results go to `found`, also those of a run that was cut."""
    file = check.scratch / "benchmarks.json"
    done = check.run(check.build / "hourglass_bench", "--device", "cuda", f"--benchmark_out={file}",
                     "--benchmark_out_format=json", limit=budget)
    found.update(gpu_report.benchmarks(file.read_text() if file.is_file() else ""))
    count = len(found["results"])
    if found["errors"]:
        raise StepFailed(f"{len(found['errors'])} benchmarks failed: {'; '.join(found['errors'][:3])}")
    if done.status is None:
        raise StepIncomplete(f"cut after {done.seconds:.0f} s, {count} benchmarks done")
    if done.status != 0:
        raise StepFailed(f"hourglass_bench ended with {done.status}: {last_line(done.output)}")
    if count == 0 or not found["complete"]:
        raise StepFailed("hourglass_bench left no whole result")
    return f"{count} benchmarks"


def run_peers(check: Check, result: dict, budget: float) -> str:
    """Training and t-SNE beside PyTorch and scikit-learn, where a Python has them; alone where none has."""
    begin = time.monotonic()
    python = next((p for p in pythons() if has_module(p, "torch") and has_module(p, "numpy")), None)
    python = python or next((p for p in pythons() if has_module(p, "numpy")), None)
    if python is None:
        return alone(check, result, budget)
    # The folder of cuBLAS is for the command alone: a peer has libraries of its own.
    command = check.scratch / "hourglass"
    command.write_text(f"#!/bin/sh\nLD_LIBRARY_PATH='{check.library_path}' exec '{check.build / 'hourglass'}' \"$@\"\n"
                       if check.library_path else f"#!/bin/sh\nexec '{check.build / 'hourglass'}' \"$@\"\n")
    command.chmod(0o755)
    out = check.scratch / "peers"
    limit = budget - (time.monotonic() - begin)
    done = check.run(python, check.root / "bench" / "peers" / "compare.py", "--hourglass", command, "--device", "cuda",
                     "--threads", len(os.sched_getaffinity(0)), "--repeat", 1, "--only", "train,tsne", "--limit", round(0.4 * limit), "--out", out,
                     limit=limit, with_cuda=False)
    if done.status is None:
        raise StepIncomplete(f"cut after {done.seconds:.0f} s")
    if done.status != 0:
        raise StepFailed(last_line(done.output))
    result["peers"] = json.loads((out / "peers.json").read_text())
    result["peers_page"] = (out / "peers.md").read_text()
    left_out = {f"{name} {runs}" for job in ("train", "tsne") for name, runs in result["peers"][job].items()
                if isinstance(runs, str)}
    slow = [one for one in left_out if "not installed" not in one]
    if slow:
        raise StepIncomplete("; ".join(sorted(slow)))
    return "; ".join(sorted(left_out)) or "all were there"


def alone(check: Check, result: dict, budget: float) -> str:
    begin = time.monotonic()
    codes, model = check.scratch / "codes.npy", check.scratch / "model.safetensors"
    times = {}
    for arguments in (("train", "--data", "mnist:train", "--hidden", "32", "--scale", "unit", "--out", model),
                      ("encode", "--model", model, "--data", "mnist:test", "--out", codes),
                      ("tsne", "--data", codes, "--out", check.scratch / "map.npy")):
        done = check.hourglass(*arguments, limit=budget - (time.monotonic() - begin))
        times[arguments[0]] = done["timings"]
    result["alone"] = times
    return f"no Python here has NumPy: no peer. Training {times['train']['train']:.2f} s, t-SNE {times['tsne']['total']:.2f} s"


def run_article(check: Check, result: dict, budget: float) -> str:
    folder = check.scratch / "article"
    said = check.hourglass("article", "--quick", "--out", folder, limit=budget)
    report = folder / "report.html"
    if not report.is_file() or report.stat().st_size == 0:
        raise StepFailed("it left no report.html")
    result["article"] = {key: said.get(key) for key in ("device", "timings", "tables")}
    return f"every experiment once in {said['timings']['total']:.1f} s"


# ---- all of it ----

def run_all(check: Check, result: dict) -> None:
    """Every step. What a step learns goes into `result`."""
    jobs = max(1, min(6, len(os.sched_getaffinity(0)) // 2))
    budget = CHECKS_SHARE * check.limit
    checks = [("parity", lambda b: run_gtest(check, "parity_test", ON_CUDA, b))]
    checks += [(tool, lambda b, tool=tool: sanitize(check, tool, b)) for tool in SANITIZER_TOOLS]
    checks += [
        ("whole models", lambda b: run_gtest(check, "train_test", "Fit.*:Network*:Checkpoint.*", b,
                                             HOURGLASS_TEST_DEVICE="cuda")),
        ("golden trainings", lambda b: run_gtest(check, "golden_test", "*", b, HOURGLASS_TEST_DEVICE="cuda",
                                                 HOURGLASS_GOLDEN_DIRECTORY=str(check.root / "tests" / "golden"))),
        ("reference losses", lambda b: run_gtest(check, "train_slow_test", "*", b, HOURGLASS_TEST_DEVICE="cuda")),
        ("same figures", lambda b: same_figures(check, b)),
    ]
    until = time.monotonic() + budget
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            for job in [pool.submit(lambda n=name, f=body: check.step(n, f, until - time.monotonic()))
                        for name, body in checks]:
                job.result()
        except KeyboardInterrupt:
            check.abandon()
            raise
    order = [name for name, _ in checks]
    check.steps.sort(key=lambda step: order.index(step.name))
    found = result["benchmarks"] = {}
    check.step("benchmarks", lambda b: run_benchmarks(check, found, b), 0.25 * check.limit)
    check.step("peers", lambda b: run_peers(check, result, b), 0.22 * check.limit)
    check.step("article", lambda b: run_article(check, result, b), check.limit)


def about_tree(root: pathlib.Path, module: pathlib.Path) -> dict:
    """Commit and CUDA version: of a packed tree as they were written down, of a checkout as they are."""
    packed = root / "packed.json"
    if packed.is_file():
        return json.loads(packed.read_text())
    commit = ""
    if shutil.which("git"):
        commit = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"], text=True,
                                capture_output=True).stdout.strip()
    cache = root / "build" / "CMakeCache.txt"
    compiler = re.search(r"^CMAKE_CUDA_COMPILER:\w+=(.+)$", cache.read_text(), re.MULTILINE) if cache.is_file() else None
    said = subprocess.run([compiler[1], "--version"], text=True, capture_output=True).stdout if compiler else ""
    version = re.search(r"release .*, V([\d.]+)", said)
    return {"commit": commit, "cuda": version[1] if version else "unknown", "architectures": "this machine's"}


def write(folder: pathlib.Path, date: str, result: dict, log: pathlib.Path) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"json": json.dumps(result, indent=2) + "\n", "md": gpu_report.page(result),
             "log": log.read_text(errors="replace")[-8_000_000:] if log.is_file() else ""}
    for ending, text in texts.items():
        unfinished = folder / f"{date}.{ending}.new"
        unfinished.write_text(text)
        unfinished.replace(folder / f"{date}.{ending}")
    return folder / f"{date}.md"


def summary(result: dict) -> list[str]:
    """As tools/test has it: the names of what is wrong, then a line of numbers."""
    lines = []
    for outcome, heading in ((INCOMPLETE, "Incomplete:"), (FAILED, "Failed:")):
        named = [f"  {step['name']}: {step['detail']}" for step in result["steps"] if step["outcome"] == outcome]
        if named:
            lines += [heading, *named]
    count = {outcome: sum(step["outcome"] == outcome for step in result["steps"])
             for outcome in (PASSED, FAILED, INCOMPLETE)}
    lines.append(f"{count[PASSED]} passed, {count[FAILED]} failed, {count[INCOMPLETE]} incomplete: {result['outcome']}, "
                 f"{result['seconds']:.0f} s")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="the project's folder, or a packed tree")
    parser.add_argument("--out", type=pathlib.Path, help="folder of the results; default: bench/results in the root")
    parser.add_argument("--minutes", type=float, default=8, help="the limit of the whole check")
    parser.add_argument("--data", type=pathlib.Path, help="folder of MNIST's four files, raw or .gz")
    parser.add_argument("--probe", action="store_true", help="only say whether there is a GPU")
    parser.add_argument("--find", action="store_true", help="only load the backend, and print the LD_LIBRARY_PATH it needs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hourglass-gpu-check-") as scratch:
        check = Check(options.root, pathlib.Path(scratch), 60 * options.minutes)
        try:
            if options.probe:
                query_gpu(check.environment)
                return 0
            gpu = find_device(check)
            if options.find:
                print(check.library_path)
                return 0
        except NoDevice as reason:
            print(f"gpu-check: {reason}", file=sys.stderr)
            return NO_DEVICE
        if options.data:
            check.environment.update(HOURGLASS_DATA_DIR=str(options.data), XDG_CACHE_HOME=str(check.scratch / "cache"))
        now = datetime.datetime.now(datetime.timezone.utc)
        module = check.build / "libhourglass_cuda.so"
        tree = about_tree(options.root, module)
        result = {"date": now.date().isoformat(), "time": now.isoformat(timespec="seconds"), "commit": tree["commit"],
                  "outcome": INCOMPLETE, "seconds": 0.0, "limit_seconds": check.limit, "device": gpu,
                  "machine": machine(), "backend": {"cuda": tree["cuda"], "architectures": tree["architectures"],
                                                    "libraries": ", ".join(cuda_libraries(module))}, "steps": []}
        print(f"{gpu['name']}, driver {gpu['driver']}; at most {options.minutes:g} minutes", file=sys.stderr, flush=True)
        data = check.run(check.build / "hourglass", "data", "mnist", limit=60)
        if data.status != 0:
            print(f"gpu-check: MNIST: {last_line(data.output)}", file=sys.stderr)
            return 1
        interrupted = False
        try:
            run_all(check, result)
        except KeyboardInterrupt:
            check.abandon()
            interrupted = True
        finally:  # what was measured is kept, also where this program is at fault
            result["seconds"] = time.monotonic() - check.begin
            result["steps"] = [step.record() for step in check.steps]
            result["outcome"] = gpu_report.outcome(result["steps"])
            out = (options.out or options.root / "bench" / "results") / gpu_report.slug(gpu["name"])
            page = write(out, result["date"], result, check.log)
        print(page.read_text())
        print(*summary(result), sep="\n")
        print(page)
        return 130 if interrupted else 0 if result["outcome"] == "green" else 1


if __name__ == "__main__":
    sys.exit(main())
