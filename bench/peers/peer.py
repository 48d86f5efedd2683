"""What the comparison scripts in Python share: threads, IDX and .npy files, the line of JSON that each prints."""

import argparse
import json
import os
import pathlib
import sys


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parses the options, --threads among them, and sets the number of threads of every library that is loaded
    afterwards: so the peer's own imports must come after this call."""
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = str(options.threads)
    return options


def tsne_options(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", help="the points, a .npy file of N rows")
    parser.add_argument("--start", help="the map to start from, a .npy file of N x 2; default: the peer's PCA start")
    parser.add_argument("--out", help="where to write the map, a .npy file")
    parser.add_argument("--perplexity", type=float, default=30)
    parser.add_argument("--iterations", type=int, default=1000, help="the 250 with exaggeration included")
    parser.add_argument("--learning-rate", type=float,
                        help="as it multiplies the gradient without its factor 4; default: N/12, at least 50")
    return parse(parser)


def learning_rate(options: argparse.Namespace, points: int) -> float:
    return options.learning_rate or max(points / 12, 50)


def mnist_directory() -> pathlib.Path:
    """Where `hourglass data mnist` keeps the files."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        cache = os.path.expanduser("~/.cache")
    return pathlib.Path(cache) / "hourglass" / "mnist"


def read_images(path: pathlib.Path):
    """The N x 784 bytes of an IDX file of images."""
    import numpy

    if not path.is_file():
        missing(f"{path} is not there: hourglass data mnist fetches it")
    content = path.read_bytes()
    if content[:4] != b"\x00\x00\x08\x03":
        missing(f"{path} is not an IDX file of images")
    n, height, width = (int.from_bytes(content[i:i + 4], "big") for i in (4, 8, 12))
    return numpy.frombuffer(content, numpy.uint8, offset=16).reshape(n, height * width)


def report(**figures) -> None:
    print(json.dumps(figures))


def missing(why: str) -> None:
    """Ends a script that cannot run here: a message and status 3."""
    print(f"{pathlib.Path(sys.argv[0]).name}: {why}", file=sys.stderr)
    sys.exit(3)
