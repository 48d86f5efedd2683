#!/usr/bin/env python3
"""Measures what t-SNE costs from a thousand to a million points: time by phase, memory, figures.

  bench/tsne_scale.py --hourglass build/hourglass --data FILE.npy [--out FOLDER] [--threads N]
                      [--points 1000,3000,...] [--iterations N]

FILE holds float32 rows. A size below theirs takes the first rows of a shuffle; beyond, rows are
repeated, each with Gaussian noise of a tenth of its column's deviation, so that none equals
another. Every run is a process of its own: its time is the command's `tsne` timing, its memory the
peak of the process (VmHWM). Writes tsne_scale.json, tsne_scale.md and tsne_scale.svg.
"""
import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000]


def rows_of(data, points, seed=0):
    random = np.random.default_rng(seed)
    order = random.permutation(len(data))
    if points <= len(data):
        return data[order[:points]]
    taken = order[np.arange(points) % len(data)]
    deviation = data.std(axis=0)
    noise = random.standard_normal((points, data.shape[1]), dtype=np.float32)
    return data[taken] + np.float32(0.1) * deviation.astype(np.float32) * noise


def high_water(process):
    """Peak bytes of a process that runs; that of wait4() would count this script's before the exec."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # it has ended
    return 0


def run(arguments, points, data, folder):
    rows = folder / "rows.npy"
    np.save(rows, rows_of(data, points))
    result = folder / "result.json"
    command = [arguments.hourglass, "tsne", "--data", rows, "--out", folder / "map.npy",
               "--iterations", str(arguments.iterations), "--device", "cpu",
               "--threads", str(arguments.threads), "--no-scores", "--json", result,
               "--quiet"]
    process = subprocess.Popen([str(part) for part in command])
    peak = 0
    while process.poll() is None:
        peak = max(peak, high_water(process.pid))
        time.sleep(0.01)
    if process.returncode != 0:
        sys.exit(f"{points} points: exit status {process.returncode}")
    record = json.loads(result.read_text())
    phases = record["phases"]
    return {
        "points": points,
        "seconds": record["timings"]["tsne"],
        "neighbours_seconds": phases["neighbours"],
        "affinities_seconds": phases["affinities"],
        "optimisation_seconds": phases["optimisation"],
        "iteration_ms": 1e3 * phases["optimisation"] / record["iterations"],
        "peak_bytes": peak,
        "kl_divergence": record["kl_divergence"],
        "span": record["span"],
        "method": record["method"],
        "recall": record.get("recall"),
        "force_error": record.get("force_error"),
    }


def markdown(results, about):
    lines = [f"# What t-SNE costs by the number of points\n",
             f"{about}\n",
             "| points | neighbours | iteration | N log2 N, of the row above | all | peak memory | "
             "KL | span | last method | recall | force error |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    before = None
    for r in results:
        growth = ""
        if before:
            linearithmic = (r["points"] * math.log2(r["points"])
                            / (before["points"] * math.log2(before["points"])))
            growth = f"{r['iteration_ms'] / before['iteration_ms'] / linearithmic:.2f}"
        lines.append(
            f"| {r['points']:,} | {r['neighbours_seconds']:.2f} s | {r['iteration_ms']:.2f} ms "
            f"| {growth} | {r['seconds']:.1f} s | {r['peak_bytes'] / 2**20:,.0f} MiB "
            f"| {r['kl_divergence']:.3f} | {r['span']:.0f} | {r['method']} "
            f"| {'' if r['recall'] is None else format(r['recall'], '.3f')} "
            f"| {'' if r['force_error'] is None else format(100 * r['force_error'], '.2f') + ' %'} |")
        before = r
    lines.append("\nThe third figure is the growth of an iteration over that of N log2 N: 1 is equal, "
                 "below is better.\n")
    return "\n".join(lines)


def svg(results):
    """Two panels over the points, both axes logarithmic: milliseconds an iteration, peak memory."""
    panels = [("ms an iteration", [r["iteration_ms"] for r in results]),
              ("peak memory, MiB", [r["peak_bytes"] / 2**20 for r in results])]
    width, height, left, top = 330, 240, 62, 34
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * width + 150}" height="340" '
             'font-family="DejaVu Sans, sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="white"/>']
    x_low, x_high = math.log10(results[0]["points"]), math.log10(results[-1]["points"])
    for p, (name, values) in enumerate(panels):
        x0, y0 = left + p * (width + 75), top
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        at_x = lambda v: x0 + width * (math.log10(v) - x_low) / max(x_high - x_low, 1)
        at_y = lambda v: y0 + height * (high - math.log10(v)) / (high - low)
        parts.append(f'<text x="{x0}" y="{y0 - 14}" font-size="14">{name}</text>')
        for e in range(low, high + 1):
            y = at_y(10.0**e)
            parts.append(f'<path d="M{x0} {y:.1f}h{width}" stroke="#dddddd"/>'
                         f'<text x="{x0 - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**e:g}</text>')
        for e in range(math.ceil(x_low), math.floor(x_high) + 1):
            parts.append(f'<text x="{at_x(10.0**e):.1f}" y="{y0 + height + 20}" '
                         f'text-anchor="middle">{10**e:,}</text>')
        parts.append(f'<text x="{x0 + width / 2}" y="{y0 + height + 42}" '
                     'text-anchor="middle">points</text>')
        middle = results[len(results) // 2]
        scale = values[len(results) // 2] / (middle["points"] * math.log2(middle["points"]))
        line = " ".join(
            f'{at_x(r["points"]):.1f},{at_y(max(scale * r["points"] * math.log2(r["points"]), 10.0**low)):.1f}'
            for r in results)
        parts.append(f'<polyline points="{line}" fill="none" stroke="#999999" '
                     'stroke-dasharray="4 4"/>')
        line = " ".join(f'{at_x(r["points"]):.1f},{at_y(v):.1f}' for r, v in zip(results, values))
        parts.append(f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="2"/>')
        parts += [f'<circle cx="{at_x(r["points"]):.1f}" cy="{at_y(v):.1f}" r="3.5" fill="#0072b2"/>'
                  for r, v in zip(results, values)]
    parts.append(f'<text x="{left}" y="326" fill="#666666">dashed: N log N through the middle point'
                 '</text></svg>')
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hourglass", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--points", default=",".join(map(str, SIZES)))
    arguments = parser.parse_args()
    data = np.load(arguments.data).astype(np.float32)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for points in (int(text) for text in arguments.points.split(",")):
            results.append(run(arguments, points, data, Path(folder)))
            print(json.dumps(results[-1]), flush=True)
    about = (f"{arguments.data.name}, {data.shape[1]} columns; {arguments.iterations} iterations, "
             f"{arguments.threads} thread{'s' if arguments.threads > 1 else ''}, "
             f"{platform.machine()}, {os.cpu_count()} processors.")
    (arguments.out / "tsne_scale.json").write_text(json.dumps(results, indent=1) + "\n")
    (arguments.out / "tsne_scale.md").write_text(markdown(results, about))
    (arguments.out / "tsne_scale.svg").write_text(svg(results) + "\n")


if __name__ == "__main__":
    main()
