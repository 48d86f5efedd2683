#!/usr/bin/python3
"""Times openTSNE with FFT interpolation and exact neighbours. Prints one line of JSON; `seconds` is the whole of fit,
neighbours included, `kl` is what openTSNE reports. openTSNE is no Debian package: run this with a Python that has it."""

import time

import peer

options = peer.tsne_options(__doc__)

try:
    import numpy
    import openTSNE
except ImportError as error:
    peer.missing(f"{error}: openTSNE comes from the Python package index")

exaggerated = min(250, options.iterations)
data = numpy.load(options.data).astype(numpy.float32)
rate = peer.learning_rate(options, len(data))
tsne = openTSNE.TSNE(perplexity=options.perplexity, early_exaggeration=12, early_exaggeration_iter=exaggerated,
                     n_iter=options.iterations - exaggerated, learning_rate=rate,
                     initialization=numpy.load(options.start).astype(numpy.float64) if options.start else "pca",
                     neighbors="exact", negative_gradient_method="fft", n_jobs=options.threads,
                     random_state=options.seed)
begin = time.perf_counter()
embedding = tsne.fit(data)
seconds = time.perf_counter() - begin
if options.out:
    numpy.save(options.out, numpy.asarray(embedding, dtype=numpy.float32))
peer.report(peer="openTSNE", version=openTSNE.__version__, seconds=seconds, threads=options.threads,
            kl=float(embedding.kl_divergence), points=len(data), dimensions=data.shape[1],
            iterations=options.iterations, learning_rate=rate, perplexity=options.perplexity, seed=options.seed)
