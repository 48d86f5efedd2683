"""What tools/gpu-check writes: figures of Google Benchmark's JSON, and the Markdown page of a whole check."""

import json
import re

# What Google Benchmark says of every benchmark; all other numbers are counters of the benchmark itself.
STANDARD = {"family_index", "per_family_instance_index", "repetitions", "repetition_index", "threads", "iterations",
            "real_time", "cpu_time"}
# What a context says of the machine that is nobody's business, or changes all the time.
PRIVATE = {"host_name", "executable", "date", "load_avg", "caches"}
SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}

# Outcomes of a step. Incomplete: cut short, not begun, or without the tool that it needs.
PASSED, FAILED, INCOMPLETE = "passed", "failed", "incomplete"


def slug(name: str) -> str:
    """`NVIDIA H100 80GB HBM3` -> `nvidia-h100-80gb-hbm3`: letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "gpu"


def parse_json_so_far(text: str) -> tuple[dict, bool]:
    """The JSON of Google Benchmark, and whether it is whole. What a program that was stopped has written ends behind
    some benchmark."""
    try:
        return json.loads(text), True
    except json.JSONDecodeError:
        pass
    at = len(text)
    while (at := text.rfind("}", 0, at)) >= 0:
        for end in ("]}", "}"):
            try:
                return json.loads(text[:at + 1] + end), False
            except json.JSONDecodeError:
                continue
    return {}, False


def short_name(name: str) -> str:
    """Without what Google Benchmark adds of how it was run."""
    return re.sub(r"/(iterations:\d+|repeats:\d+|min_time:[\d.]+|real_time|manual_time|process_time)(?=/|$)", "", name)


def benchmarks(text: str) -> dict:
    """{context, complete, results: [{name, seconds, counters}], errors}. Of repeated benchmarks the median alone."""
    content, complete = parse_json_so_far(text)
    entries = [dict(entry, run_name=short_name(entry.get("run_name", entry.get("name", "?"))))
               for entry in content.get("benchmarks", [])]
    medians = {entry.get("run_name") for entry in entries if entry.get("aggregate_name") == "median"}
    results, errors = [], []
    for entry in entries:
        name = entry["run_name"]
        if entry.get("error_occurred"):
            errors.append(f"{name}: {entry.get('error_message', 'failed')}")
        elif (entry.get("aggregate_name") == "median") if name in medians else "aggregate_name" not in entry:
            counters = {key: value for key, value in entry.items()
                        if isinstance(value, (int, float)) and not isinstance(value, bool) and key not in STANDARD}
            results.append({"name": name, "seconds": entry["real_time"] * SECONDS[entry.get("time_unit", "ns")],
                            "counters": counters})
    context = {key: value for key, value in content.get("context", {}).items() if key not in PRIVATE}
    return {"context": context, "complete": complete, "results": results, "errors": errors}


def with_prefix(value: float, unit: str = "") -> str:
    """Three digits and an SI prefix: 3.01 TB/s."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}".rstrip()
    return f"{value * 1e9:.3g} n{unit}" if value else "0"


def context_cell(key: str, value: str) -> str:
    """Of what hourglass_bench adds to the context: the ceilings that it measured, and names."""
    try:
        number = float(value)
    except ValueError:
        return value
    unit = {"bytes_per_second": "B/s", "flops_per_second": "FLOP/s", "cache_bytes": "B"}
    return next((with_prefix(number, u) for suffix, u in unit.items() if key.endswith(suffix)), value)


def counter_cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name.endswith("/s"):
        return with_prefix(value)
    if name in ("share", "spread"):  # of a ceiling; of the samples
        return f"{100 * value:.3g} %"
    return f"{value:.4g}"


def table(header: list, rows: list) -> list[str]:
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(header), "|" + "---|" * len(header), *map(line, rows)] if rows else []


def benchmark_lines(found: dict) -> list[str]:
    columns = []
    for result in found["results"]:
        columns += [key for key in result["counters"] if key not in columns]
    return table(["benchmark", "time", *columns],
                 [[result["name"], with_prefix(result["seconds"], "s"),
                   *(counter_cell(column, result["counters"].get(column)) for column in columns)]
                  for result in found["results"]])


def outcome(steps: list[dict]) -> str:
    """Of the whole check: green where every step passed."""
    said = {step["outcome"] for step in steps}
    return FAILED if FAILED in said else INCOMPLETE if INCOMPLETE in said or not steps else "green"


def page(result: dict) -> str:
    """The whole result in Markdown. `result` is what the JSON beside it holds."""
    device, about = result["device"], result["machine"]
    lines = [f"# {device['name']}, {result['date']}: {result['outcome']}", ""]
    lines += table(["", ""], [
        ["commit", result["commit"] or "unknown"],
        ["GPU", f"{device['name']}, {device['memory_mib']} MiB, sm_{device['compute_capability'].replace('.', '')}"],
        ["driver", f"{device['driver']}, CUDA {device['driver_cuda']}"],
        ["backend", f"CUDA {result['backend']['cuda']}, {result['backend']['libraries']}, architectures "
                    f"{result['backend']['architectures']}"],
        ["machine", f"{about['processor']}, {about['cores']} cores; {about['system']}"],
        ["time", f"{result['seconds']:.0f} s of {result['limit_seconds']:.0f} s"],
    ])
    lines += ["", "## Steps", ""]
    lines += table(["step", "outcome", "seconds", ""],
                   [[s["name"], s["outcome"], f"{s['seconds']:.1f}", s["detail"]] for s in result["steps"]])
    found = result.get("benchmarks")
    if found and found["results"]:
        lines += ["", "## Benchmarks", "", "What is counted: bench/README.md.", ""]
        ceilings = [[key, context_cell(key, value)] for key, value in found["context"].items() if "." in key]
        lines += [*table(["this machine", ""], ceilings), ""] if ceilings else []
        if not found["complete"]:
            lines += ["Cut short: these are the ones that were done.", ""]
        lines += benchmark_lines(found)
    if result.get("peers_page"):
        lines += ["", *demoted(result["peers_page"])]
    for article_table in (result.get("article") or {}).get("tables", []):
        lines += ["", f"## The article: {article_table['title'].lower()}", ""]
        lines += table(article_table["header"], article_table["rows"])
    return "\n".join(lines).rstrip() + "\n"


def demoted(markdown: str) -> list[str]:
    """Headings one level lower, so that the page can stand in another."""
    return [("#" + line if line.startswith("#") else line) for line in markdown.rstrip().splitlines()]
