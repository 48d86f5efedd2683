#!/usr/bin/python3
"""Makes the fixtures of the golden tests: small trainings whose every number is known.

    tests/golden/make_fixtures.py            writes tests/golden/*.safetensors
    tests/golden/make_fixtures.py --check    makes them again and compares them with the files
    tests/golden/make_fixtures.py --only tied,adamw

This is an independent statement of what Hourglass computes. Gradients are PyTorch's automatic ones in float64;
activations, scalers and optimisers are PyTorch's and scikit-learn's own, or formulas that are held to them here. What
Hourglass defines itself (random numbers, initial weights, the order of rows, noise) is stated once more in NumPy. It
reads nothing of the project's C++.

Shapes: x is B x D, a layer computes f(x W + b) with W fan_in x fan_out, the code h is B x K.

Needs Debian's python3-torch and python3-sklearn.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import struct
import sys

try:
    import numpy as np
    import sklearn
    import torch
    import torch.nn.functional as F
    from sklearn.preprocessing import StandardScaler
except ImportError as error:
    print(f"make_fixtures: Skipped\n{error}: Debian's packages are python3-torch and python3-sklearn")
    sys.exit(77)

ROWS, INPUTS, BATCH = 40, 20, 16
STEPS_AN_EPOCH = 3  # 16, 16 and 8 rows
CHECKPOINTS = (1, 10, 100)  # steps after which all parameters are kept
EPOCHS = 33  # whole ones in 100 steps
PERMUTATIONS = 4  # epochs whose order of rows is kept
NOISY_STEPS = 4  # steps whose corrupted batches are kept; the last opens the second epoch


def f32(value):
    """What a float option of the C++ API holds, as a Python float."""
    return float(np.float32(value))


# ---- what a fixture is made of -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Spec:
    hidden: tuple  # the encoder's widths; the last is the code's
    decoder: tuple = None  # the decoder's hidden widths; None: the encoder's mirrored
    tied: bool = False  # decoder weights are the encoder's, transposed; biases are its own
    activation: str = "relu"
    code_activation: str = "relu"
    output_activation: str = "sigmoid"
    loss: str = "bce"
    bce_clip: float = 1e-7

    def encoder_widths(self):
        return (INPUTS, *self.hidden)

    def decoder_widths(self):
        between = tuple(reversed(self.hidden[:-1])) if self.decoder is None else self.decoder
        return (self.hidden[-1], *between, INPUTS)


@dataclasses.dataclass(frozen=True)
class Options:
    seed: int
    learning_rate: float
    optimiser: str = "adam"  # adam, adamw or sgd
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-7
    momentum: float = 0.0  # sgd
    weight_decay: float = 0.0  # adamw: decoupled; else the L2 penalty's lambda
    clip_norm: float = 0.0  # 0: gradients are not limited
    l1: float = 0.0
    l1_sum: float = 0.0
    kl: float = 0.0
    rho: float = 0.05
    contractive: float = 0.0
    noise: str = "none"  # none, gaussian or mask
    noise_amount: float = 0.0


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    data: str  # name of a data set: see DATA
    spec: Spec
    options: Options

    @property
    def scaling(self):
        return DATA[self.data].scaling


# ---- random numbers ------------------------------------------------------------------------------

STREAM_WEIGHTS, STREAM_SHUFFLE, STREAM_NOISE = 1, 2, 3


def philox4x32(key, counter):
    """Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). key: two words; counter:
    four words or arrays of words. Returns four arrays of words."""
    word = np.uint64(0xFFFFFFFF)
    c = [np.atleast_1d(np.asarray(x, dtype=np.uint64)) for x in counter]
    k = [int(x) for x in key]
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * c[0]
        p1 = np.uint64(0xCD9E8D57) * c[2]
        high0, low0 = p0 >> np.uint64(32), p0 & word
        high1, low1 = p1 >> np.uint64(32), p1 & word
        c = [high1 ^ c[1] ^ np.uint64(k[0]), low1, high0 ^ c[3] ^ np.uint64(k[1]), low0]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return [np.broadcast_to(x, np.broadcast_shapes(*(y.shape for y in c))).astype(np.uint32) for x in c]


def check_philox():
    """The known answers of the authors' library, Random123."""
    for key, counter, answer in [
        ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 4, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0xA4093822, 0x299F31D0),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ]:
        assert tuple(int(word[0]) for word in philox4x32(key, counter)) == answer


def random_words(seed, elements, stream, substream):
    """elements x 4 words: key = the seed's two halves, counter = {element (two halves), stream, substream}."""
    element = np.arange(elements, dtype=np.uint64)
    key = (seed & 0xFFFFFFFF, seed >> 32)
    halves = (element & np.uint64(0xFFFFFFFF), element >> np.uint64(32))
    return np.stack(philox4x32(key, (*halves, stream, substream)), axis=1)


def unit_uniform(words):
    """[0, 1), 24 bits: exact in float32."""
    return (words >> 8).astype(np.float32) * np.float32(2.0**-24)


def open_uniform(words):
    """(0, 1]: the sum is rounded to float32."""
    return ((words >> 8).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-24)


def glorot_uniform(seed, layer, fan_in, fan_out):
    """U(-limit, limit), limit = sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010). Weight i is made of word i % 4
    of counter i / 4; float32 arithmetic, so that it is the same to the bit everywhere."""
    count = fan_in * fan_out
    words = random_words(seed, -(-count // 4), STREAM_WEIGHTS, layer).reshape(-1)[:count]
    limit = np.float32(math.sqrt(6.0 / (fan_in + fan_out)))
    return ((np.float32(2) * unit_uniform(words) - np.float32(1)) * limit).reshape(fan_in, fan_out)


def permutation(seed, epoch):
    """The rows sorted by a 64-bit random key, words 0 (low) and 1 (high) of the row's counter; ties by the row."""
    words = random_words(seed, ROWS, STREAM_SHUFFLE, epoch).astype(np.uint64)
    return np.argsort(words[:, 0] | words[:, 1] << np.uint64(32), kind="stable")


def corrupt(case, clean, steps_done):
    """The noisy copy of a batch: element e = b D + d has word e % 4 of counter e / 4, the substream is the number of
    steps done. mask: 0 where a uniform number is below the probability. gaussian: pairs of normal numbers (Box and
    Muller 1958) from words 0, 1 and 2, 3; where the scaling promises [0, 1] the result is limited to that."""
    options = case.options
    words = random_words(options.seed, -(-clean.size // 4), STREAM_NOISE, steps_done)
    if options.noise == "mask":
        uniform = unit_uniform(words).reshape(-1)[: clean.size].reshape(clean.shape)
        return np.where(uniform < np.float32(options.noise_amount), np.float32(0), clean)
    pairs = words.reshape(-1, 2)
    # Uniform numbers are float32 by definition; the functions of them are taken in float64.
    radius = np.sqrt(-2.0 * np.log(open_uniform(pairs[:, 0]).astype(np.float64)))
    angle = 2 * math.pi * unit_uniform(pairs[:, 1]).astype(np.float64)
    normal = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[: clean.size]
    noisy = clean + f32(options.noise_amount) * normal.reshape(clean.shape)
    if case.scaling == "unit":
        noisy = np.clip(noisy, 0.0, 1.0)
    return noisy.astype(np.float32)


# ---- data ----------------------------------------------------------------------------------------


def unit_data(seed):
    """Rows near a three-dimensional surface in the unit cube, as pictures are: many values exactly 0 or 1, and one
    column, a picture's corner, always 0."""
    random = np.random.RandomState(seed)
    x = 0.45 + 0.25 * random.normal(size=(ROWS, 3)) @ random.normal(size=(3, INPUTS))
    x = np.clip(x + 0.03 * random.normal(size=x.shape), 0.0, 1.0)
    x[:, 0] = 0.0
    return x.astype(np.float32)


def table_data(seed):
    """Measurements: columns with units of their own, correlated, one of them constant. Means are no more than a few
    deviations, since scalers are float32: they are off by 6e-8 mean / deviation."""
    random = np.random.RandomState(seed)
    x = random.normal(size=(ROWS, 4)) @ random.normal(size=(4, INPUTS)) + 0.3 * random.normal(size=(ROWS, INPUTS))
    x = (x + random.uniform(-3, 3, INPUTS)) * 10.0 ** random.uniform(-2, 2, INPUTS)
    x[:, 7] = 3.7
    return x.astype(np.float32)


def byte_data(seed):
    return np.round(255 * unit_data(seed).astype(np.float64)).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class DataSet:
    values: np.ndarray
    scaling: str  # unit or standard


DATA = {
    "data_unit": DataSet(unit_data(1), "unit"),
    "data_table": DataSet(table_data(2), "standard"),
    "data_bytes": DataSet(byte_data(3), "unit"),
}


def scale(data):
    """float64. `unit`: bytes become [0, 1], floats are there already. `standard`: (x - mean) / population deviation of
    the column, 1 where that is zero."""
    x = data.values.astype(np.float64)
    if data.scaling == "unit":
        return x / 255.0 if data.values.dtype == np.uint8 else x
    deviation = x.std(axis=0, ddof=0)
    deviation[np.ptp(x, axis=0) == 0] = 1.0
    scaled = (x - x.mean(axis=0)) / deviation
    assert np.allclose(scaled, StandardScaler().fit_transform(x), rtol=1e-12, atol=1e-12)
    return scaled


# ---- the model -----------------------------------------------------------------------------------

ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def layers(spec):
    """(name, fan_in, fan_out) of each, from the first to the last."""
    return [
        (f"{part}.{i}", fan_in, fan_out)
        for part, widths in (("encoder", spec.encoder_widths()), ("decoder", spec.decoder_widths()))
        for i, (fan_in, fan_out) in enumerate(zip(widths, widths[1:]))
    ]


def initial_parameters(case):
    """Weights Glorot uniform from the layer's number, biases 0. Tied decoder weights are no parameters."""
    parameters = {}
    for number, (name, fan_in, fan_out) in enumerate(layers(case.spec)):
        if not (case.spec.tied and name.startswith("decoder")):
            parameters[f"{name}.weight"] = glorot_uniform(case.options.seed, number, fan_in, fan_out)
        parameters[f"{name}.bias"] = np.zeros(fan_out, dtype=np.float32)
    return parameters


def is_weight(name):
    return name.endswith(".weight")


def encode(spec, parameters, x):
    depth = len(spec.hidden)
    for i in range(depth):
        f = ACTIVATIONS[spec.code_activation if i == depth - 1 else spec.activation]
        x = f(x @ parameters[f"encoder.{i}.weight"] + parameters[f"encoder.{i}.bias"])
    return x


def decode(spec, parameters, codes):
    """The logits: the last layer's activation belongs to the loss."""
    depth = len(spec.decoder_widths()) - 1
    x = codes
    for i in range(depth):
        if spec.tied:
            weight = parameters[f"encoder.{depth - 1 - i}.weight"].T
        else:
            weight = parameters[f"decoder.{i}.weight"]
        x = x @ weight + parameters[f"decoder.{i}.bias"]
        if i < depth - 1:
            x = ACTIVATIONS[spec.activation](x)
    return x


# ---- losses and penalties ------------------------------------------------------------------------


def logit_range(clip):
    """Keras 2.2.4 clips p = sigmoid(z) to [clip, 1 - clip], bounds in float32; these are the ends of log(p / (1 - p)).
    1 - 1e-7 is 1 - 2^-23 in float32, so that the range of logits is not symmetric: -16.118 to 15.942."""
    if clip == 0.0:
        return -math.inf, math.inf
    low = float(np.float32(clip))
    high = float(np.float32(1) - np.float32(clip))
    return f32(math.log(low / (1 - low))), f32(math.log(high / (1 - high)))


def bce(logits, targets, clip):
    """max(l, 0) - l t + log(1 + exp(-|l|)) with l = z limited to the range; the mean over outputs and rows.
    max(l, 0) + log(1 + exp(-|l|)) is written as log(exp(l) + exp(0)), which has a derivative at 0 too."""
    lower, upper = logit_range(clip)
    l = torch.clamp(logits, lower, upper)
    return (torch.logaddexp(l, torch.zeros_like(l)) - l * targets).mean()


def keras_bce(logits, targets, clip):
    """Keras 2.2.4's binary_crossentropy on TensorFlow, step by step: the sigmoid's output, clipped, back to logits."""
    p = torch.clamp(torch.sigmoid(logits), float(np.float32(clip)), float(np.float32(1) - np.float32(clip)))
    l = torch.log(p / (1 - p))
    return (torch.clamp(l, min=0) - l * targets + torch.log1p(torch.exp(-torch.abs(l)))).mean()


def reconstruction_loss(spec, logits, targets):
    if spec.loss == "bce":
        return bce(logits, targets, spec.bce_clip)
    return ((ACTIVATIONS[spec.output_activation](logits) - targets) ** 2).mean()


def l1_penalty(codes, weight):
    """weight * mean over the rows of sum_k |h_k|."""
    return weight * codes.abs().sum(dim=1).mean()


def l1_sum_penalty(codes, weight):
    """Summed over the rows, as Keras 1.0.7 to 2.3.1 did."""
    return weight * codes.abs().sum()


def kl_penalty(codes, rho, weight):
    """weight * sum_k KL(rho || mean over the rows of h_k), of two Bernoulli distributions (Ng 2011)."""
    clip = np.float32(1e-7)
    mean = torch.clamp(codes.mean(dim=0), float(clip), float(np.float32(1) - clip))
    return weight * (rho * torch.log(rho / mean) + (1 - rho) * torch.log((1 - rho) / (1 - mean))).sum()


def contractive_penalty(spec, parameters, x, weight):
    """weight * mean over the rows of |dh/dx|_F^2 (Rifai et al. 2011), the Jacobian by automatic differentiation: a
    row's codes depend on that row alone, so the gradient of a code unit's sum over the rows holds every row's."""
    x = x.detach().requires_grad_(True)
    codes = encode(spec, parameters, x)
    total = 0.0
    for k in range(codes.shape[1]):
        (jacobian_row,) = torch.autograd.grad(codes[:, k].sum(), x, create_graph=True)
        total = total + (jacobian_row**2).sum()
    return weight * total / x.shape[0]


def l2_penalty(parameters, weight):
    """weight / 2 * the sum of all weights' squares; biases are free, shared weights count once."""
    return weight / 2 * sum((p**2).sum() for name, p in parameters.items() if is_weight(name))


def objective(case, parameters, inputs, targets):
    """The reconstruction loss and each penalty of a batch. `inputs` are the noisy rows, `targets` the clean ones."""
    spec, options = case.spec, case.options
    codes = encode(spec, parameters, inputs)
    reconstruction = reconstruction_loss(spec, decode(spec, parameters, codes), targets)
    penalties = {}
    if options.l1:
        penalties["l1"] = l1_penalty(codes, f32(options.l1))
    if options.l1_sum:
        penalties["l1_sum"] = l1_sum_penalty(codes, f32(options.l1_sum))
    if options.kl:
        penalties["kl"] = kl_penalty(codes, f32(options.rho), f32(options.kl))
    if options.contractive:
        penalties["contractive"] = contractive_penalty(spec, parameters, inputs, f32(options.contractive))
    if options.weight_decay and options.optimiser != "adamw":
        penalties["l2"] = l2_penalty(parameters, f32(options.weight_decay))
    return reconstruction, penalties


# ---- optimisers ----------------------------------------------------------------------------------


def global_norm(gradients):
    return math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))


class Formulas:
    """One step: limit the gradient's norm, then Adam in Keras's form (epsilon outside the bias correction), AdamW or
    SGD with momentum in PyTorch's form. Options are float32, the learning rate is float64."""

    def __init__(self, options, parameters):
        self.options = options
        self.parameters = parameters
        self.first = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.second = {name: torch.zeros_like(p) for name, p in parameters.items()}
        self.step_number = 0

    def step(self, gradients):
        options = self.options
        self.step_number += 1
        t, rate = self.step_number, options.learning_rate
        if options.clip_norm:
            norm, limit = global_norm(gradients), f32(options.clip_norm)
            if norm > limit:
                gradients = {name: g * (limit / norm) for name, g in gradients.items()}
        b1, b2, epsilon = f32(options.beta1), f32(options.beta2), f32(options.epsilon)
        for name, p in self.parameters.items():
            g, m, v = gradients[name], self.first[name], self.second[name]
            if options.optimiser == "sgd":
                m.mul_(f32(options.momentum)).add_(g)
                p -= rate * m
                continue
            if options.optimiser == "adamw" and is_weight(name):
                p -= rate * f32(options.weight_decay) * p
            m.mul_(b1).add_((1 - b1) * g)
            v.mul_(b2).add_((1 - b2) * g**2)
            p -= rate * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (torch.sqrt(v) + epsilon)


class PyTorchs:
    """The same by PyTorch's own optimisers. Its epsilon stands inside the bias correction: that of step t is made such
    that it comes out as Keras's. Its clip divides by norm + 1e-6: the limit is made such that this cancels."""

    def __init__(self, options, parameters):
        self.options = options
        self.parameters = parameters
        self.step_number = 0
        decay = 0.0 if self.adds_l2_itself(options) else f32(options.weight_decay)
        groups = [
            {"params": [p for name, p in parameters.items() if is_weight(name)], "weight_decay": decay},
            {"params": [p for name, p in parameters.items() if not is_weight(name)], "weight_decay": 0.0},
        ]
        if options.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(groups, lr=options.learning_rate, momentum=f32(options.momentum))
        else:
            kind = torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam
            betas = (f32(options.beta1), f32(options.beta2))
            self.optimiser = kind(groups, lr=options.learning_rate, betas=betas)

    @staticmethod
    def adds_l2_itself(options):
        """PyTorch adds lambda W to the gradient after it was limited; here the penalty is part of what is limited."""
        return bool(options.clip_norm) and options.optimiser != "adamw"

    def step(self, gradients):
        options = self.options
        self.step_number += 1
        for name, p in self.parameters.items():
            p.grad = gradients[name].clone()
        if options.clip_norm:
            norm = global_norm(gradients)
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), f32(options.clip_norm) * (norm + 1e-6) / norm)
        for group in self.optimiser.param_groups:
            if "eps" in group:
                group["eps"] = f32(options.epsilon) / math.sqrt(1 - f32(options.beta2) ** self.step_number)
        self.optimiser.step()


# ---- training ------------------------------------------------------------------------------------


@dataclasses.dataclass
class Step:
    rows: int
    reconstruction: float
    penalties: dict  # by name
    gradient_norm: float
    clipped_logits: int


@dataclasses.dataclass
class Training:
    steps: list
    checkpoints: dict  # parameters by number of steps
    gradient: dict  # of the first batch at the initial weights


def batches(case, scaled):
    """(inputs, targets) of every step, float32: a fresh permutation each epoch, whose last batch is partial."""
    for step in range(CHECKPOINTS[-1]):
        epoch, batch = divmod(step, STEPS_AN_EPOCH)
        clean = scaled[permutation(case.options.seed, epoch)[batch * BATCH : (batch + 1) * BATCH]]
        yield (clean if case.options.noise == "none" else corrupt(case, clean, step)), clean


def train(case, prepared, dtype=torch.float64, optimiser=Formulas, steps=CHECKPOINTS[-1]):
    parameters = {name: torch.tensor(p, dtype=dtype) for name, p in initial_parameters(case).items()}
    differentiated = case
    if optimiser is PyTorchs and not PyTorchs.adds_l2_itself(case.options):
        differentiated = replace_options(case, weight_decay=0.0)
    update = optimiser(case.options, parameters)
    result = Training([], {}, {})
    lower, upper = logit_range(case.spec.bce_clip)
    for number, (inputs, targets) in enumerate(prepared[:steps], start=1):
        x, t = torch.tensor(inputs, dtype=dtype), torch.tensor(targets, dtype=dtype)
        for p in parameters.values():
            p.requires_grad_(True)
        reconstruction, penalties = objective(differentiated, parameters, x, t)
        total = reconstruction + sum(penalties.values())
        gradients = dict(zip(parameters, torch.autograd.grad(total, list(parameters.values()))))
        for p in parameters.values():
            p.requires_grad_(False)
        logits = decode(case.spec, parameters, encode(case.spec, parameters, x))
        figures = {name: float(penalty) for name, penalty in penalties.items()}
        clipped = int(((logits <= lower) | (logits >= upper)).sum()) if case.spec.loss == "bce" else 0
        result.steps.append(Step(len(x), float(reconstruction), figures, global_norm(gradients), clipped))
        if number == 1:
            result.gradient = {name: g.clone() for name, g in gradients.items()}
        update.step(gradients)
        if number in CHECKPOINTS:
            result.checkpoints[number] = {name: p.clone() for name, p in parameters.items()}
    return result


def replace_options(case, **changes):
    return dataclasses.replace(case, options=dataclasses.replace(case.options, **changes))


def epoch_figures(steps):
    """What is shown for an epoch: means of the batches' figures weighted by their rows, while the weights move."""
    reconstruction, penalty = [], []
    for first in range(0, EPOCHS * STEPS_AN_EPOCH, STEPS_AN_EPOCH):
        epoch = steps[first : first + STEPS_AN_EPOCH]
        assert sum(step.rows for step in epoch) == ROWS
        reconstruction.append(sum(step.rows * step.reconstruction for step in epoch) / ROWS)
        penalty.append(sum(step.rows * sum(step.penalties.values()) for step in epoch) / ROWS)
    return reconstruction, penalty


# ---- checks --------------------------------------------------------------------------------------


def relative(got, want):
    """Norm of the difference over the norm."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    difference, size = np.linalg.norm(got - want), np.linalg.norm(want)
    return difference / size if size > 0 else (math.inf if difference > 0 else 0.0)


def worst(got, want):
    return max(relative(got[name], want[name]) for name in want)


def check_losses():
    """The loss's formula against Keras's steps, and unclipped against PyTorch's, in value and gradient."""
    random = np.random.RandomState(0)
    t = torch.tensor(random.normal(0.5, 1.0, 500))
    for clip in (1e-7, 0.05):
        lower, upper = logit_range(clip)
        z = torch.tensor(random.uniform(1.2 * lower, 1.2 * upper, 500), requires_grad=True)
        assert (z < lower).any() and (z > upper).any()
        ours, keras = bce(z, t, clip), keras_bce(z, t, clip)
        assert abs(float(ours - keras)) < 1e-6  # the bounds of the logits are rounded to float32
        assert relative(*(torch.autograd.grad(loss, z)[0] for loss in (ours, keras))) < 1e-8
    assert np.allclose(logit_range(1e-7), (-16.118, 15.942), atol=1e-3)
    z = torch.tensor(np.append(random.normal(0, 10, 499), 0.0), requires_grad=True)
    ours, theirs = bce(z, t, 0.0), F.binary_cross_entropy_with_logits(z, t)
    assert abs(float(ours - theirs)) < 1e-12
    assert relative(*(torch.autograd.grad(loss, z)[0] for loss in (ours, theirs))) < 1e-12


def check_penalties():
    """Closed formulas of gradients, as the C++ has them, against the automatic ones."""
    random = np.random.RandomState(1)
    spec = Spec((5,), code_activation="sigmoid")
    x = torch.tensor(random.normal(size=(7, INPUTS)))
    w = torch.tensor(0.3 * random.normal(size=(INPUTS, 5)), requires_grad=True)
    parameters = {"encoder.0.weight": w, "encoder.0.bias": torch.tensor(random.normal(size=5))}

    # Contractive, one sigmoid layer: s = h (1 - h), sum_k s_k^2 |W_k|^2; its gradient to W_jk is
    # 2 s_k^2 W_jk + 2 s_k^2 (1 - 2 h_k) |W_k|^2 x_j, the mean over the rows.
    h = encode(spec, parameters, x)
    slope, size = h * (1 - h), (w**2).sum(dim=0)
    value = contractive_penalty(spec, parameters, x, 1.0)
    assert abs(float(value - (slope**2 * size).sum(dim=1).mean())) < 1e-12
    closed = 2 * (slope**2).mean(dim=0) * w + 2 * x.T @ (slope**2 * (1 - 2 * h) * size) / len(x)
    assert relative(torch.autograd.grad(value, w)[0], closed.detach()) < 1e-12

    # Kullback-Leibler: the gradient to every h_ik is beta / B (-rho / rho_k + (1 - rho) / (1 - rho_k)).
    h = torch.tensor(random.uniform(0.01, 0.99, size=(7, 5)), requires_grad=True)
    (gradient,) = torch.autograd.grad(kl_penalty(h, 0.1, 3.0), h)
    mean = h.detach().mean(dim=0)
    assert relative(gradient, (3.0 / 7 * (-0.1 / mean + 0.9 / (1 - mean))).expand(7, 5)) < 1e-12


# What each option is when it is left out: taking it away must be seen.
WITHOUT = {
    "momentum": 0.0,
    "weight_decay": 0.0,
    "clip_norm": 0.0,
    "l1": 0.0,
    "l1_sum": 0.0,
    "kl": 0.0,
    "contractive": 0.0,
    "noise": "none",
}


def check_options_matter(case, scaled, truth):
    """A fixture proves nothing of an option that moves no parameter: without it a tensor differs by far more after 10
    steps than the tests allow."""
    seen = {}
    for option, without in WITHOUT.items():
        if getattr(case.options, option) == without:
            continue
        other = replace_options(case, **{option: without})
        result = train(other, list(batches(other, scaled)), steps=10)
        seen[option] = worst(result.checkpoints[10], truth.checkpoints[10])
        assert seen[option] > 1e-3, f"{case.name}: without {option} parameters differ by {seen[option]:.1e} only"
    return seen


def rounded_up(value):
    """One significant digit, upwards."""
    if value == 0.0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / power - 1e-9) * power:.0e}")


# ---- fixtures ------------------------------------------------------------------------------------


def make_data(name):
    """(tensors, metadata) of a data set."""
    data = DATA[name]
    tensors = {"values": data.values.astype(np.float32), "scaled": scale(data).astype(np.float32)}
    return tensors, {"type": data.values.dtype.name, "scaling": data.scaling}


def make_case(case):
    """(tensors, metadata, what there is to say)."""
    scaled = scale(DATA[case.data]).astype(np.float32)
    prepared = list(batches(case, scaled))
    truth = train(case, prepared)

    # The formulas of the optimisers are PyTorch's.
    theirs = train(case, prepared, optimiser=PyTorchs)
    disagreement = max(worst(theirs.checkpoints[n], truth.checkpoints[n]) for n in CHECKPOINTS)
    assert disagreement < 1e-9, f"{case.name}: PyTorch's optimiser differs by {disagreement:.1e}"

    # Float32 follows: a path that doubles its rounding errors every few steps would prove nothing.
    single = train(case, prepared, dtype=torch.float32)
    drift = {n: worst(single.checkpoints[n], truth.checkpoints[n]) for n in CHECKPOINTS}
    # The tests allow 1e-5 after 1 and 10 steps.
    assert max(drift[1], drift[10]) < 2e-6, f"{case.name}: float32 drifts by {drift}; choose another seed"
    assert drift[100] < 1e-5, f"{case.name}: float32 drifts by {drift}; choose another seed"

    seen = check_options_matter(case, scaled, truth)
    clipped_steps = sum(step.gradient_norm > f32(case.options.clip_norm) for step in truth.steps)
    if case.options.clip_norm:
        assert 10 <= clipped_steps <= 90, f"{case.name}: {clipped_steps} of 100 steps are clipped"

    first = truth.steps[0]
    tensors = {"permutations": np.stack([permutation(case.options.seed, epoch) for epoch in range(PERMUTATIONS)])}
    if case.options.noise != "none":
        for step in range(NOISY_STEPS):
            tensors[f"noisy.{step}"] = prepared[step][0]
    tensors["epochs.reconstruction"], tensors["epochs.penalty"] = epoch_figures(truth.steps)
    for stage, parameters in [
        ("initial", initial_parameters(case)),
        ("gradient", truth.gradient),
        *((f"step{n}", truth.checkpoints[n]) for n in CHECKPOINTS),
    ]:
        for name, values in parameters.items():
            tensors[f"{stage}.{name}"] = values
    tensors = {name: np.asarray(values, dtype=np.float32) for name, values in tensors.items()}

    metadata = {
        "data": case.data,
        "spec": json.dumps({"inputs": INPUTS, **dataclasses.asdict(case.spec)}),
        "options": json.dumps({"batch": BATCH, **dataclasses.asdict(case.options)}),
        "first_batch": json.dumps(
            {"reconstruction": first.reconstruction, "penalties": first.penalties, "gradient_norm": first.gradient_norm}
        ),
        "float32_drift": json.dumps({str(n): rounded_up(drift[n]) for n in CHECKPOINTS}),
    }
    said = {
        "drift": drift,
        "loss": [step.reconstruction + sum(step.penalties.values()) for step in (first, truth.steps[-1])],
        "seen": seen,
        "clipped steps": clipped_steps if case.options.clip_norm else 0,
        "clipped logits": sum(step.clipped_logits for step in truth.steps),
        "PyTorch's optimiser": disagreement,
    }
    return tensors, metadata, said


def write_safetensors(path, tensors, metadata):
    """8 bytes of header length, little-endian; a JSON header: each tensor's type, shape and bytes; the bytes."""
    header, at = {"__metadata__": metadata}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    beside = path.with_suffix(".part")
    with open(beside, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(values.astype("<f4").tobytes())
    beside.replace(path)


def read_safetensors(path):
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(content[begin:end], dtype="<f4").reshape(entry["shape"])
    return tensors, metadata


def flat(figures):
    """(name, value) of a dictionary of numbers and of those in it."""
    for name, value in figures.items():
        yield from flat(value) if isinstance(value, dict) else [(name, value)]


def differences(path, tensors, metadata):
    """What the file has otherwise. The last bits may differ where another processor made it."""
    if not path.exists():
        return ["there is no such file"]
    old_tensors, old_metadata = read_safetensors(path)
    found = []
    for name in metadata:
        if name in ("first_batch", "float32_drift"):
            continue
        if old_metadata.get(name) != metadata[name]:
            found.append(f"{name} is {old_metadata.get(name)}, not {metadata[name]}")
    for name, value in flat(json.loads(metadata.get("first_batch", "{}"))):
        old = dict(flat(json.loads(old_metadata["first_batch"]))).get(name, math.nan)
        if not abs(old - value) <= 1e-9 * abs(value):
            found.append(f"{name} of the first batch is {old}, not {value}")
    if list(old_tensors) != list(tensors):
        return [*found, f"the tensors are {list(old_tensors)}, not {list(tensors)}"]
    exact = ("values", "permutations", "initial.")
    for name, values in tensors.items():
        if old_tensors[name].shape != values.shape:
            found.append(f"{name} has shape {old_tensors[name].shape}, not {values.shape}")
            continue
        apart = relative(old_tensors[name], values)
        if not apart <= (0.0 if name.startswith(exact) else 1e-6):
            found.append(f"{name} differs by {apart:.1e}")
    return found


# ---- the families --------------------------------------------------------------------------------

CASES = [
    Case("undercomplete", "data_unit", Spec((6,)), Options(seed=1, learning_rate=0.01)),
    Case(
        "deep",
        "data_table",
        Spec((12, 8, 3), code_activation="linear"),
        Options(seed=2, learning_rate=0.003),
    ),
    Case(
        "bce_clip",
        "data_table",
        Spec((6,), activation="tanh", code_activation="tanh", bce_clip=0.02),
        Options(seed=3, learning_rate=0.02),
    ),
    Case(
        "bce_unclipped",
        "data_unit",
        Spec((6,), activation="tanh", code_activation="tanh", bce_clip=0.0),
        Options(seed=4, learning_rate=0.01),
    ),
    Case(
        "mse_linear",
        "data_table",
        Spec((10, 4), activation="tanh", code_activation="tanh", output_activation="linear", loss="mse"),
        Options(seed=5, learning_rate=0.01),
    ),
    Case(
        "mse_sigmoid",
        "data_unit",
        Spec((6,), activation="tanh", code_activation="tanh", loss="mse"),
        Options(seed=6, learning_rate=0.01),
    ),
    Case(
        "explicit_decoder",
        "data_unit",
        Spec((9, 4), decoder=(7,), activation="elu", code_activation="elu"),
        Options(seed=7, learning_rate=0.01),
    ),
    Case(
        "tied",
        "data_unit",
        Spec((10, 4), tied=True, activation="gelu", code_activation="gelu"),
        Options(seed=8, learning_rate=0.01),
    ),
    Case("sparse_l1", "data_unit", Spec((10,)), Options(seed=9, learning_rate=0.01, l1=0.01)),
    Case("sparse_l1sum", "data_unit", Spec((10,)), Options(seed=10, learning_rate=0.01, l1_sum=1e-3)),
    Case(
        "sparse_kl",
        "data_unit",
        Spec((32,), code_activation="sigmoid"),
        Options(seed=11, learning_rate=0.01, kl=0.02, rho=0.05),
    ),
    Case(
        "l1_and_kl",
        "data_unit",
        Spec((32,), code_activation="sigmoid"),
        Options(seed=12, learning_rate=0.01, l1=0.005, kl=0.01, rho=0.1),
    ),
    Case(
        "contractive",
        "data_unit",
        Spec((8,), code_activation="sigmoid"),
        Options(seed=13, learning_rate=0.01, contractive=0.1),
    ),
    Case(
        "contractive_tanh",
        "data_table",
        Spec((8,), code_activation="tanh", output_activation="linear", loss="mse"),
        Options(seed=30, learning_rate=0.01, contractive=0.05),
    ),
    Case(
        "contractive_gelu",
        "data_unit",
        Spec((8,), code_activation="gelu"),
        Options(seed=15, learning_rate=0.01, contractive=0.02),
    ),
    Case(
        "denoising_gaussian",
        "data_unit",
        Spec((8,), code_activation="elu"),
        Options(seed=16, learning_rate=0.01, noise="gaussian", noise_amount=0.5),
    ),
    Case(
        "denoising_gaussian_standard",
        "data_table",
        Spec((8,), code_activation="tanh", output_activation="linear", loss="mse"),
        # The high word of the key counts too.
        Options(seed=2**32 + 17, learning_rate=0.01, noise="gaussian", noise_amount=0.3),
    ),
    Case(
        "denoising_mask",
        "data_unit",
        Spec((8,), code_activation="sigmoid"),
        Options(seed=18, learning_rate=0.01, noise="mask", noise_amount=0.3),
    ),
    Case(
        "weight_decay",
        "data_unit",
        Spec((9, 4), activation="tanh", code_activation="tanh"),
        Options(seed=19, learning_rate=0.01, weight_decay=0.01),
    ),
    Case(
        "adamw",
        "data_unit",
        Spec((9, 4), activation="tanh", code_activation="tanh"),
        Options(seed=20, learning_rate=0.01, optimiser="adamw", weight_decay=0.1),
    ),
    Case(
        "sgd_momentum",
        "data_unit",
        Spec((8,), code_activation="tanh"),
        Options(seed=21, learning_rate=0.5, optimiser="sgd", momentum=0.9),
    ),
    Case(
        "clipped_gradient",
        "data_unit",
        Spec((8,), code_activation="tanh"),
        Options(seed=22, learning_rate=0.01, clip_norm=0.04),
    ),
    Case(
        "selu",
        "data_unit",
        Spec((7, 4), activation="selu", code_activation="selu"),
        Options(seed=23, learning_rate=0.01),
    ),
    Case(
        "leaky_relu",
        "data_unit",
        Spec((7, 4), activation="leaky_relu", code_activation="leaky_relu"),
        Options(seed=24, learning_rate=0.01),
    ),
    Case("bytes", "data_bytes", Spec((6,)), Options(seed=2**64 - 25, learning_rate=0.01)),
    # What is done in which order: noise, then the code and its Jacobian at the noisy rows; all penalties before the
    # gradient is limited; shared weights counted once.
    Case(
        "combined",
        "data_unit",
        Spec((8,), tied=True, code_activation="sigmoid"),
        Options(
            seed=26,
            learning_rate=0.3,
            optimiser="sgd",
            momentum=0.5,
            weight_decay=0.02,
            clip_norm=0.08,
            l1=0.02,
            l1_sum=0.001,
            kl=0.02,
            rho=0.2,
            contractive=0.1,
            noise="mask",
            noise_amount=0.2,
        ),
    ),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("--only", metavar="NAME,...", help="some fixtures, by name")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent, help="folder")
    arguments = parser.parse_args()
    names = [case.name for case in CASES]
    only = names if arguments.only is None else arguments.only.split(",")
    if unknown := set(only) - set(names):
        parser.error(f"--only {','.join(sorted(unknown))}: expected names among {', '.join(names)}")
    torch.set_num_threads(1)
    check_philox()
    check_losses()
    check_penalties()
    wrong = []

    def finish(name, tensors, metadata):
        path = arguments.out / f"{name}.safetensors"
        if arguments.check:
            wrong.extend(f"{path}: {line}" for line in differences(path, tensors, metadata))
        else:
            write_safetensors(path, tensors, metadata)

    for name in DATA:
        finish(name, *make_data(name))
    print(f"PyTorch {torch.__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}")
    print(f"{'fixture':28} {'loss, first and last':>20} {'float32 after 1, 10, 100':>26}  other")
    for case in CASES:
        if case.name not in only:
            continue
        tensors, metadata, said = make_case(case)
        other = [f"without {option}: {value:.1e}" for option, value in said["seen"].items()]
        other += [f"{said[what]} {what}" for what in ("clipped steps", "clipped logits") if said[what]]
        print(
            f"{case.name:28} {'{:9.5f} {:9.5f}'.format(*said['loss']):>20} "
            f"{' '.join(f'{d:.1e}' for d in said['drift'].values()):>26}  {'; '.join(other)}",
            flush=True,
        )
        finish(case.name, tensors, metadata)
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
