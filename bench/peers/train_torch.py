#!/usr/bin/python3
"""Times PyTorch on the reference job: 784-32-784 or other widths, rectified, binary cross-entropy on the logits, Adam, MNIST scaled
to [0, 1]. Eager mode in its fastest plain form: all rows in the device's memory as float32, a batch is one index_select,
gradients are set to None, the loss of an epoch is read once at its end. On a GPU Adam is the fused one. Prints one line
of JSON; `seconds` is the epochs alone, without loading and start-up."""

import argparse
import time

import peer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--data", help="folder of the raw IDX files; default: the cache of `hourglass data mnist`")
parser.add_argument("--hidden", default="32", help="the encoder's widths: 128,64,2; the decoder mirrors them")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
options = peer.parse(parser)

try:
    import numpy
    import torch
except ImportError as error:
    peer.missing(f"{error}: Debian's packages are python3-torch and python3-numpy")

device = torch.device(options.device)
if device.type == "cuda" and not torch.cuda.is_available():
    peer.missing("this PyTorch sees no CUDA device")
torch.set_num_threads(options.threads)
torch.manual_seed(options.seed)


def load(name: str) -> torch.Tensor:
    directory = peer.pathlib.Path(options.data) if options.data else peer.mnist_directory()
    return torch.from_numpy(peer.read_images(directory / name).astype(numpy.float32) / 255).to(device)


def make_model() -> torch.nn.Sequential:
    encoder = [784, *map(int, options.hidden.split(","))]
    widths = encoder + encoder[-2::-1]
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:]):
        layer = torch.nn.Linear(fan_in, fan_out)
        torch.nn.init.xavier_uniform_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).to(device)


def train(model: torch.nn.Sequential, rows: torch.Tensor, epochs: int) -> float:
    """Returns the mean loss of the last epoch while the weights moved."""
    fused = {"fused": True} if device.type == "cuda" else {}
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, **fused)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    for _ in range(epochs):
        permutation = torch.randperm(len(rows), device=device)
        total = torch.zeros((), device=device)
        for batch in permutation.split(options.batch):
            x = rows.index_select(0, batch)
            loss = loss_of(model(x), x)
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            total += loss.detach() * len(batch)
        mean = total.item() / len(rows)
    return mean


train_rows = load("train-images-idx3-ubyte")
test_rows = load("t10k-images-idx3-ubyte")
train(make_model(), train_rows[: 20 * options.batch], 1)  # the first steps pay for what later ones find ready
model = make_model()
begin = time.perf_counter()
train_loss = train(model, train_rows, options.epochs)
seconds = time.perf_counter() - begin
with torch.no_grad():
    test_loss = torch.nn.functional.binary_cross_entropy_with_logits(model(test_rows), test_rows).item()
where = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
peer.report(peer="PyTorch", version=torch.__version__, device=where, seconds=seconds, threads=options.threads,
            epochs=options.epochs, batch=options.batch, hidden=options.hidden, seed=options.seed, train_loss=train_loss,
            test_loss=test_loss)
