#!/usr/bin/python3
"""Runs Hourglass and its peers in turn on the same input and writes a table. tools/bench builds, then calls this.

Training: 784-32-784 on MNIST in [0, 1], batch 256, 10 epochs; wide: the same with other widths. t-SNE (tsne): the 10,000 test codes of that model, 1,000
iterations, perplexity 30, every program from the same PCA start at the same learning rate N/12; Hourglass also at its
own, which is N in the second phase. Large: all 70,000 digits in their first 50 principal components, 750 iterations,
else the same; the peers take minutes, so it runs only when it is asked for. Each program gets the
same cores, and with --device cuda Hourglass and PyTorch the same GPU (the other peers have no use for one); each map's
Kullback-Leibler divergence is measured by `hourglass score` over all pairs, since the programs' own figures differ in
what they sum. --readme puts the rows of what ran into the README's table."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

here = pathlib.Path(__file__).resolve().parent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hourglass", default=here.parents[1] / "build" / "hourglass", help="the command")
    parser.add_argument("--out", default="bench-results", help="folder of peers.json and peers.md")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3, help="runs of each program")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--limit", type=float, help="seconds after which a run is stopped, and its program left out")
    parser.add_argument("--only", default="train,wide,tsne", help="of train, wide, tsne and large")
    parser.add_argument("--readme", action="store_true", help="write the README's table anew, with machine and date")
    parser.add_argument("--quick", action="store_true", help="1 epoch, 300 iterations, one run: does it work at all?")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - {"train", "wide", "tsne", "large"}:
        parser.error(f"--only {','.join(sorted(unknown))}: expected train, wide, tsne or large")
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= options.threads <= len(cores):
        parser.error(f"--threads {options.threads}: this machine has {len(cores)} cores")
    options.cores = set(cores[: options.threads])
    options.epochs, options.iterations = (1, 300) if options.quick else (10, 1000)
    if options.quick:
        options.repeat = 1
    return options


options = parse()
environment = dict(os.environ, **{name: str(options.threads) for name in (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")})


class LeftOut(Exception):
    """A peer that has no figures: it is not installed, failed, or took longer than --limit."""


def execute(*command) -> tuple[str, float]:
    """The standard output of a command, and the seconds of the whole process."""
    is_peer = any(pathlib.Path(word).parent == here for word in command[:2])
    begin = time.perf_counter()
    try:
        done = subprocess.run([str(word) for word in command], env=environment, text=True, capture_output=True,
                              timeout=options.limit if is_peer else None,
                              preexec_fn=lambda: os.sched_setaffinity(0, options.cores))
    except subprocess.TimeoutExpired:
        raise LeftOut(f"not done within {options.limit:g} s") from None
    except OSError as error:  # no Rscript, for one
        raise LeftOut(f"not installed: {error.strerror}: {error.filename}") from error
    seconds = time.perf_counter() - begin
    if is_peer and done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise LeftOut(("not installed: " if done.returncode == 3 else "failed: ") + said[0])
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout, seconds


def commit() -> str:
    """The version of the sources beside this script; empty where they are no Git checkout."""
    if not shutil.which("git"):
        return ""
    return subprocess.run(["git", "-C", here, "describe", "--always", "--dirty"], text=True,
                          capture_output=True).stdout.strip()


def hourglass(*arguments) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "result.json"
        _, seconds = execute(options.hourglass, *arguments, "--device", options.device, "--threads", options.threads,
                             "--json", file, "--quiet")
        result = json.loads(file.read_text())
    result.pop("options")  # they name a folder that is gone by then
    return dict(result, version=commit(), process_seconds=seconds)


def peer(*command) -> dict:
    output, seconds = execute(*command, "--threads", options.threads)
    return dict(json.loads(output.splitlines()[-1]), process_seconds=seconds)


def in_turn(programs: dict) -> dict:
    """Runs the programs one after the other, --repeat times, so that a slow minute of the machine hits all of them. What
    comes of each: the list of its runs, or why it was left out."""
    runs = {name: [] for name in programs}
    for round_number in range(options.repeat):
        for name, run in programs.items():
            if isinstance(runs[name], str):
                continue
            try:
                runs[name].append(run())
                print(f"{name}, run {round_number + 1}: {runs[name][-1]['seconds']:.2f} s", file=sys.stderr)
            except LeftOut as reason:
                print(f"{name} is left out: {reason}", file=sys.stderr)
                runs[name] = str(reason)
    return runs


def machine() -> dict:
    model = platform.processor()
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"processor": model, "cores": os.cpu_count(), "threads": options.threads, "device": options.device,
            "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.platform())}


def spread(values: list) -> str:
    values = sorted(values)
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} ({values[0]:.2f} - {values[-1]:.2f})"


def table(runs: dict, columns: dict) -> list:
    """Markdown; `columns` maps a heading to a function of the runs of one program."""
    lines = ["| program | seconds | whole process | " + " | ".join(columns) + " |", "|---" * (3 + len(columns)) + "|"]
    for name, results in runs.items():
        if isinstance(results, str):
            lines.append(f"| {name} | {results.split(':')[0]} |" + " |" * (1 + len(columns)))
            continue
        version = results[0].get("version", "")
        cells = [spread([result[key] for result in results]) for key in ("seconds", "process_seconds")]
        cells += [column(results) for column in columns.values()]
        lines.append(f"| {name} {version}".rstrip() + " | " + " | ".join(cells) + " |")
    return lines


def time_training(folder: pathlib.Path, hidden: str, epochs: int) -> dict:
    def ours() -> dict:
        result = hourglass("train", "--data", "mnist:train", "--hidden", hidden, "--scale", "unit", "--epochs",
                           epochs, "--batch", 256, "--seed", 0, "--out", folder / "model.safetensors")
        return dict(result, seconds=result["timings"]["train"], train_loss=result["history"]["loss"][-1])

    return in_turn({
        "Hourglass": ours,
        "PyTorch": lambda: peer(sys.executable, here / "train_torch.py", "--hidden", hidden, "--epochs", epochs,
                                "--device", options.device),
    })


def pca_start(points: numpy.ndarray) -> numpy.ndarray:
    points = points.astype(numpy.float64)
    points -= points.mean(0)
    _, axes = numpy.linalg.eigh(points.T @ points)
    plane = points @ axes[:, :-3:-1]
    return (plane * (1e-4 / plane[:, 0].std())).astype(numpy.float32)


def compare_tsne(folder: pathlib.Path, data: pathlib.Path, labels, iterations: int) -> dict:
    """All programs on the rows of `data`."""
    start = folder / "start.npy"
    points = numpy.load(data)
    numpy.save(start, pca_start(points))
    rate = max(len(points) / 12, 50)

    def judged(result: dict, embedding: pathlib.Path) -> dict:
        figures = hourglass("score", "--map", embedding, "--data", data, "--labels", labels)
        return dict(result, true_kl=figures["kl_divergence"], one_nn_accuracy=figures["one_nn_accuracy"])

    def ours(*more) -> dict:
        embedding = folder / "hourglass.npy"
        result = hourglass("tsne", "--data", data, "--init", start, "--iterations", iterations, "--no-scores",
                           "--out", embedding,
                           *more)
        return judged(dict(result, seconds=result["timings"]["tsne"]), embedding)

    def theirs(*program) -> dict:
        embedding = folder / f"{pathlib.Path(program[-1]).stem}.npy"
        result = peer(*program, data, "--start", start, "--iterations", iterations, "--learning-rate", rate,
                      "--out", embedding)
        return judged(result, embedding)

    programs = {
        "Hourglass": lambda: ours("--learning-rate", rate),
        "Hourglass, learning rate auto": ours,
        "scikit-learn": lambda: theirs(sys.executable, here / "tsne_sklearn.py"),
        "Rtsne": lambda: theirs(here / "tsne_rtsne.R"),
    }
    if python := os.environ.get("OPENTSNE_PYTHON"):
        programs["openTSNE"] = lambda: theirs(python, here / "tsne_opentsne.py")
    return in_turn(programs)


def time_tsne(folder: pathlib.Path) -> dict:
    model, codes = folder / "codes.safetensors", folder / "codes.npy"
    if not model.exists():
        hourglass("train", "--data", "mnist:train", "--hidden", 32, "--scale", "unit", "--epochs", options.epochs,
                  "--out", model)
    hourglass("encode", "--model", model, "--data", "mnist:test", "--out", codes)
    return compare_tsne(folder, codes, "mnist:test", options.iterations)


def time_large(folder: pathlib.Path) -> dict:
    hourglass("data", "mnist", "--out", folder)

    def idx(name: str, header: int) -> numpy.ndarray:
        file, = folder.glob(f"{name}-idx*")
        return numpy.fromfile(file, numpy.uint8)[header:]

    images = numpy.concatenate([idx(f"{part}-images", 16) for part in ("train", "t10k")])
    numpy.save(folder / "images.npy", images.reshape(-1, 784))
    labels = folder / "labels.npy"
    numpy.save(labels, numpy.concatenate([idx(f"{part}-labels", 8) for part in ("train", "t10k")]).astype(numpy.int32))
    rows = folder / "rows.npy"
    hourglass("pca", "--data", folder / "images.npy", "--components", 50, "--out", rows)
    return compare_tsne(folder, rows, labels, options.iterations * 3 // 4)


def trainings() -> list:
    """Part of --only, name in the results, hidden widths, all widths, epochs."""
    return [("train", "train", "32", "784-32-784", options.epochs),
            ("wide", "train_deep", "128,64,2", "784-128-64-2-64-128-784", options.epochs),
            ("wide", "train_1024", "1024", "784-1024-784", max(options.epochs // 5, 1))]


def readme_rows(result: dict) -> list:
    """The rows of the README's table, by what was timed."""
    def seconds(runs: list) -> float:
        return statistics.median(run["seconds"] for run in runs)

    def figures(runs: list) -> str:
        kl = f", KL {statistics.median(run['true_kl'] for run in runs):.3f}" if "true_kl" in runs[0] else ""
        return f"{seconds(runs):.2f} s{kl}" if seconds(runs) < 10 else f"{seconds(runs):.1f} s{kl}"

    works = [(key, f"{shape} on MNIST, {epochs} epoch{'s' * (epochs > 1)}, batch 256")
             for _, key, _, shape, epochs in trainings()]
    works += [("tsne", f"t-SNE of its 10,000 test codes, {options.iterations:,} iterations"),
              ("large", f"t-SNE of 70,000 digits in 50 components, {options.iterations * 3 // 4:,} iterations")]
    rows = []
    for key, work in works:
        runs = {name: of for name, of in result.get(key, {}).items() if not isinstance(of, str)}
        for name, of in runs.items():
            if name.startswith("Hourglass"):
                continue
            version = of[0].get("version", "")
            ratio = seconds(of) / seconds(runs["Hourglass"])
            rows.append(f"| {work} | {figures(runs['Hourglass'])} | {name} {version}: {figures(of)} | {ratio:.1f} |")
        if "Hourglass, learning rate auto" in runs:
            rows.append(f"| the same at learning rate auto | {figures(runs['Hourglass, learning rate auto'])} | | |")
    return rows


def write_readme(result: dict) -> None:
    readme = here.parents[1] / "README.md"
    begin, end = "<!-- tools/bench writes from here -->\n", "<!-- to here -->\n"
    text = readme.read_text()
    if begin not in text or end not in text:
        sys.exit(f"{readme}: expected a line {begin.strip()} and one {end.strip()}")
    about = result["machine"]
    cores = f"{about['threads']} of {about['cores']} cores"
    head = [f"{about['processor']}, {cores}, {about['system']}, {result['date']}; "
            + (f"median of {options.repeat} runs" if options.repeat > 1 else "one run") + " of each, in turn.", "",
            "| work | Hourglass | peer | ratio |", "|---|---|---|---|"]
    before, rest = text.split(begin)
    unfinished = readme.with_name("README.md.new")
    unfinished.write_text(before + begin + "\n".join(head + readme_rows(result)) + "\n" + end + rest.split(end)[1])
    unfinished.replace(readme)


def main() -> None:
    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    about = machine()
    result = {"machine": about, "date": datetime.date.today().isoformat(), "epochs": options.epochs,
              "iterations": options.iterations}
    lines = ["# Hourglass beside its peers", "",
             f"{about['processor']}, {about['cores']} cores of which each program has {about['threads']}; "
             f"{about['system']}; {result['date']}. Hourglass and PyTorch on {about['device']}. Median (lowest - highest) of "
             f"{options.repeat}, in turn.", ""]
    with tempfile.TemporaryDirectory() as folder:
        for part, key, hidden, shape, epochs in trainings():
            if part not in options.only:
                continue
            result[key] = time_training(pathlib.Path(folder), hidden, epochs)
            lines += [f"## Training {shape}, MNIST, {epochs} epochs, batch 256", "",
                      *table(result[key],
                             {"last epoch's loss":
                              lambda runs: f"{statistics.median(r['train_loss'] for r in runs):.4f}"}), ""]
        for name, time_maps, points, iterations in (
                ("tsne", time_tsne, "the 10,000 test codes", options.iterations),
                ("large", time_large, "70,000 digits in 50 principal components", options.iterations * 3 // 4)):
            if name not in options.only:
                continue
            result[name] = time_maps(pathlib.Path(folder))
            lines += [f"## t-SNE of {points}, {iterations} iterations", "",
                      *table(result[name],
                             {"true KL": lambda runs: f"{statistics.median(r['true_kl'] for r in runs):.4f}",
                              "1-NN accuracy": lambda runs:
                              f"{statistics.median(r['one_nn_accuracy'] for r in runs):.3f}"}), ""]
    for name, text in (("peers.json", json.dumps(result, indent=2) + "\n"), ("peers.md", "\n".join(lines))):
        unfinished = out / (name + ".new")
        unfinished.write_text(text)
        unfinished.replace(out / name)
    if options.readme:
        write_readme(result)
    print("\n".join(lines))


main()
