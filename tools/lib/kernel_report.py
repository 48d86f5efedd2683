"""Measures the kernels and compares them with kernels/RESOURCES.md and kernels/expectations.txt. tools/kernel-report
configures a tree, then calls this."""

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import cubin

ARCHITECTURE = 90
ACCESS_KINDS = sorted(set(cubin.ACCESSES.values()), key=len, reverse=True)

# What a multiprocessor of sm_90 has ("Technical Specifications per Compute Capability", CUDA Programming Guide).
WARP = 32
MOST_WARPS = 64
MOST_BLOCKS = 32
REGISTERS = 65536
REGISTERS_PER_WARP_STEP = 256  # a warp gets a multiple of these, from one of the four partitions
PARTITIONS = 4
SHARED_BYTES = 228 * 1024


class Unmeasurable(Exception):
    """There is nothing to compile with, or nothing to compile."""


@dataclasses.dataclass
class Row:
    file: str
    kernel: str  # short name
    resources: cubin.Kernel

    @property
    def where(self) -> str:
        return f"{self.file}: {self.kernel}"

    def value(self, quantity: str) -> int:
        """Of a quantity by its name in the expectations: registers, shared, stack, local, warps, code, threads; load128,
        shared_store64, ... count accesses of a width, load, shared_store, ... those of every width."""
        if quantity == "warps":
            return resident_warps(self.resources)
        if quantity in ("registers", "shared", "stack", "local", "code", "threads"):
            return getattr(self.resources, quantity)
        if match := re.fullmatch(rf"({'|'.join(ACCESS_KINDS)})(\d*)", quantity):
            return self.resources.count(match[1], int(match[2]) if match[2] else None)
        raise ValueError(f"unknown quantity {quantity}")


def resident_warps(kernel: cubin.Kernel) -> int:
    """Warps that a multiprocessor holds at once, as launch bounds, registers and static shared memory permit."""
    block = -(-(kernel.threads or WARP) // WARP)
    per_warp = -(-kernel.registers * WARP // REGISTERS_PER_WARP_STEP) * REGISTERS_PER_WARP_STEP
    by_registers = REGISTERS // PARTITIONS // per_warp * PARTITIONS
    blocks = min(MOST_BLOCKS, min(MOST_WARPS, by_registers) // block,
                 SHARED_BYTES // (kernel.shared + cubin.RESERVED_SHARED))
    return blocks * block


# ---- compiling ----

def cuda_commands(tree: pathlib.Path) -> list[dict]:
    """The entries of compile_commands.json that compile a kernel of the CUDA backend with nvcc (tests compile the same
    files for the CPU), `words` being the command from nvcc on."""
    file = tree / "compile_commands.json"
    found = []
    for entry in json.loads(file.read_text()) if file.is_file() else []:
        words = shlex.split(entry["command"])
        names = [pathlib.Path(word).name for word in words]
        if pathlib.Path(entry["file"]).match("kernels/cuda/*.cu") and "nvcc" in names:
            found.append(dict(entry, words=words[names.index("nvcc"):]))
    if not found:
        raise Unmeasurable(f"{tree} has no CUDA backend: there is no nvcc that works, or HOURGLASS_CUDA=OFF")
    return sorted(found, key=lambda entry: entry["file"])


def cubin_command(entry: dict, out: pathlib.Path) -> list[str]:
    """How the tree compiles a file, but to a cubin for ARCHITECTURE, and through ccache where there is one (which
    understands `-c -cubin`, and takes `-cubin` alone for linking)."""
    words = iter(entry["words"])
    kept = [ccache] if (ccache := shutil.which("ccache")) else []
    for word in words:
        if word in ("-o", "-MT", "-MF", "-gencode", "-arch"):
            next(words)
        elif not word.startswith(("-MD", "--generate-code", "-gencode=", "-arch=")):
            kept.append(word)
    return [*kept, "-cubin", f"--generate-code=arch=compute_{ARCHITECTURE},code=sm_{ARCHITECTURE}", "-o", str(out)]


def compiler_version(entry: dict) -> str:
    nvcc = entry["words"][0]
    said = subprocess.run([nvcc, "--version"], text=True, capture_output=True).stdout
    if not (match := re.search(r"release .*, V([\d.]+)", said)):
        raise Unmeasurable(f"{nvcc} --version names no version")
    return match[1]


def compile_cubin(entry: dict, folder: pathlib.Path) -> tuple[str, list[cubin.Kernel]]:
    file = pathlib.Path(entry["file"]).name
    out = folder / f"{file}.cubin"
    done = subprocess.run(cubin_command(entry, out), cwd=entry["directory"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode != 0:
        sys.exit(f"{entry['file']} did not compile:\n{done.stdout}")
    return file, cubin.read(out)


def measure(tree: pathlib.Path, root: pathlib.Path, jobs: int) -> tuple[str, list[Row]]:
    """The version of nvcc, and the kernels by file and name."""
    entries = cuda_commands(tree)
    version = compiler_version(entries[0])
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        files = list(pool.map(lambda entry: compile_cubin(entry, pathlib.Path(folder)), entries))
    return version, rows_of(files, enumerators(root))


# ---- names ----

def enumerators(root: pathlib.Path) -> dict[str, dict[int, str]]:
    """The enumerators by value of every `enum class` of the headers that kernels see."""
    found = {}
    for header in [*root.glob("include/hourglass/*.hpp"), *root.glob("kernels/*.hpp")]:
        text = re.sub(r"//.*", "", header.read_text())
        for name, body in re.findall(r"enum class (\w+)[^{;]*\{([^}]*)\}", text):
            value = -1
            for item in body.split(","):
                if not (match := re.fullmatch(r"\s*(\w+)\s*(?:=\s*(\w+)\s*)?", item)):
                    continue
                value = int(match[2], 0) if match[2] and match[2][0].isdigit() else value + 1
                found.setdefault(name, {})[value] = match[1]
    return found


def without_parameters(name: str) -> str:
    """`f<(T)1>(int, (anonymous)::A)` -> `f<(T)1>`: cut before the parenthesis that the last one closes."""
    if not name.endswith(")"):
        return name
    depth = 0
    for at in range(len(name) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(name[at], 0)
        if depth == 0:
            return name[:at]
    return name


def short_name(demangled: str, enums: dict[str, dict[int, str]]) -> str:
    name = without_parameters(demangled).removeprefix("void ")
    name = re.sub(r"\b(?:hourglass|cuda)::|\(anonymous namespace\)::", "", name)
    return re.sub(r"\((\w+)\)(\d+)", lambda m: enums.get(m[1], {}).get(int(m[2]), m[0]), name)


def rows_of(files: list[tuple[str, list[cubin.Kernel]]], enums: dict[str, dict[int, str]]) -> list[Row]:
    rows = []
    for file, kernels in files:
        full = cubin.demangle([kernel.name for kernel in kernels]) if kernels else []
        short = [short_name(name, enums) for name in full]
        rows += [Row(file, one if short.count(one) == 1 else name, kernel)
                 for one, name, kernel in zip(short, full, kernels, strict=True)]
    return sorted(rows, key=lambda row: (row.file, row.kernel))


# ---- expectations ----

@dataclasses.dataclass
class Expectation:
    place: str  # file and line
    pattern: re.Pattern  # of the whole short name
    limits: list[tuple[str, str, int]]  # quantity, operator, number


HOLDS = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "==": lambda a, b: a == b}


def read_expectations(path: pathlib.Path) -> list[Expectation]:
    """Lines of `REGEX  LIMIT...`, at least two spaces between the two; # begins a comment."""
    expectations = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        place = f"{path.name}:{number}"
        pattern, _, limits = line.partition("  ")
        parsed = []
        for limit in limits.split():
            if not (match := re.fullmatch(r"(\w+)(<=|>=|==)(\d+)", limit)):
                raise ValueError(f"{place}: {limit}: expected QUANTITY<=N, >=N or ==N")
            parsed.append((match[1], match[2], int(match[3])))
        expectations.append(Expectation(place, re.compile(pattern.strip()), parsed))
    return expectations


def unmet(rows: list[Row], expectations: list[Expectation]) -> list[str]:
    """What is wrong. A kernel has no stack and no local memory unless a line grants it, and every kernel has a line."""
    problems = []
    named = set()
    for row in rows:
        limits = {"stack": ("==", 0, "every kernel"), "local": ("==", 0, "every kernel")}
        others = []
        matching = [expectation for expectation in expectations if expectation.pattern.fullmatch(row.kernel)]
        if not matching:
            problems.append(f"{row.where}: no line of expectations.txt names it")
        for expectation in matching:
            named.add(expectation.place)
            for quantity, operator, number in expectation.limits:
                if quantity in limits:
                    limits[quantity] = (operator, number, expectation.place)
                else:
                    others.append((quantity, operator, number, expectation.place))
        for quantity, operator, number, place in [(q, *rest) for q, rest in limits.items()] + others:
            found = row.value(quantity)
            if not HOLDS[operator](found, number):
                problems.append(f"{row.where}: {quantity} is {found}, expected {operator} {number} ({place})")
    problems += [f"{expectation.place}: {expectation.pattern.pattern} names no kernel"
                 for expectation in expectations if expectation.place not in named]
    return problems


# ---- the page ----

HEADINGS = {"registers": "registers", "shared": "shared", "stack": "stack", "local": "local", "threads": "threads",
            "warps": "warps", "load": "load", "store": "store", "shared_load": "shared load",
            "shared_store": "shared store", "code": "code"}
WIDEST = ("load", "store", "shared_load", "shared_store")


def cell(row: Row, quantity: str) -> str:
    value = row.resources.widest(quantity) if quantity in WIDEST else row.value(quantity)
    return "" if value == 0 and quantity in (*WIDEST, "threads") else str(value)


def origin(version: str) -> str:
    return f"CUDA {version}, sm_{ARCHITECTURE}"


def page(version: str, rows: list[Row]) -> str:
    lines = [
        "# What the compiler makes of each kernel", "",
        f"{origin(version)}. Written by `tools/kernel-report`, checked by `tools/kernel-report --check`; the limits are",
        "in [expectations.txt](expectations.txt).", "",
        "registers: of a thread. shared: static shared memory of a block, bytes. stack: of a thread, bytes. local: loads",
        "and stores of local memory, which are spilled registers or arrays that cannot lie in registers. threads: of a",
        f"block, by its launch bounds. warps: of {MOST_WARPS} that a multiprocessor can hold, as many as these three",
        "permit (dynamic shared memory is not counted). load, store, shared load, shared store: the widest access to",
        "global and to shared memory, bits. code: bytes.", "",
        "| file | kernel | " + " | ".join(HEADINGS.values()) + " |",
        "|---|---|" + "--:|" * len(HEADINGS)]
    lines += [f"| {row.file} | `{row.kernel}` | " + " | ".join(cell(row, q) for q in HEADINGS) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def changes(before: str, after: str) -> list[str]:
    """What differs between two pages, a line for each row."""
    def table(text: str) -> dict[tuple, list[str]]:
        cells = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
        return {tuple(c[:2]): c[2:] for c in cells[1:]}

    old, new = table(before), table(after)
    found = []
    for key in sorted(old.keys() | new.keys()):
        name = f"{key[0]}: {key[1].strip('`')}"
        if key not in new:
            found.append(f"{name} is in RESOURCES.md and no more in the code")
        elif key not in old:
            found.append(f"{name} is not in RESOURCES.md")
        elif old[key] != new[key]:
            found += [f"{name}: {heading} {a or 'none'} in RESOURCES.md, measured {b or 'none'}"
                      for heading, a, b in zip(HEADINGS.values(), old[key], new[key]) if a != b]
    return found or ["RESOURCES.md has another text around the same table"] * (before != after)


def compare(recorded: str, version: str, rows: list[Row]) -> tuple[list[str], str]:
    """What is wrong with the recorded page, and a remark."""
    if origin(version) + "." not in recorded:
        was = re.search(r"^CUDA [\d.]+, sm_\d+", recorded, re.MULTILINE)
        return [], (f"RESOURCES.md was measured with {was[0] if was else 'something else'}, this is {origin(version)}: "
                    "checked spills and widths alone")
    return changes(recorded, page(version, rows)), ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=pathlib.Path, required=True, help="the project's folder")
    parser.add_argument("--tree", type=pathlib.Path, required=True, help="a configured build tree")
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="compilers at once")
    options = parser.parse_args()

    resources = options.root / "kernels" / "RESOURCES.md"
    try:
        version, rows = measure(options.tree, options.root, options.jobs)
    except Unmeasurable as reason:
        print(f"kernel-report: the kernels were not measured: {reason}", file=sys.stderr)
        return 4
    problems = unmet(rows, read_expectations(options.root / "kernels" / "expectations.txt"))
    if options.check:
        differences, remark = compare(resources.read_text() if resources.is_file() else "", version, rows)
        if remark:
            print(f"kernel-report: {remark}", file=sys.stderr)
        problems += differences
        if differences:
            problems.append("where the change is meant, tools/kernel-report writes kernels/RESOURCES.md anew")
    else:
        unfinished = resources.with_suffix(".md.new")
        unfinished.write_text(page(version, rows))
        unfinished.replace(resources)
    for problem in problems:
        print(f"kernel-report: {problem}", file=sys.stderr)
    print(f"{len(rows)} kernels, {sum(r.value('stack') > 0 or r.value('local') > 0 for r in rows)} with stack or spills, "
          f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
