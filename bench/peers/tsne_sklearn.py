#!/usr/bin/python3
"""Times scikit-learn's Barnes-Hut t-SNE. Prints one line of JSON; `seconds` is the whole of fit_transform, neighbours
included, `kl` is what scikit-learn reports."""

import inspect
import time

import peer

options = peer.tsne_options(__doc__)

try:
    import numpy
    import sklearn
    from sklearn.manifold import TSNE
except ImportError as error:
    peer.missing(f"{error}: Debian's package is python3-sklearn")

data = numpy.load(options.data).astype(numpy.float32)
rate = peer.learning_rate(options, len(data))
# scikit-learn's learning rate multiplies the gradient with its factor 4.
# Its number of iterations is called max_iter since scikit-learn 1.5, before that n_iter.
iterations = "max_iter" if "max_iter" in inspect.signature(TSNE).parameters else "n_iter"
tsne = TSNE(**{iterations: options.iterations}, perplexity=options.perplexity, early_exaggeration=12,
            learning_rate=rate / 4,
            init=numpy.load(options.start).astype(numpy.float32) if options.start else "pca", method="barnes_hut",
            angle=0.5, n_iter_without_progress=options.iterations, min_grad_norm=0, n_jobs=options.threads,
            random_state=options.seed)
begin = time.perf_counter()
embedding = tsne.fit_transform(data)
seconds = time.perf_counter() - begin
if options.out:
    numpy.save(options.out, embedding.astype(numpy.float32))
peer.report(peer="scikit-learn", version=sklearn.__version__, seconds=seconds, threads=options.threads,
            kl=float(tsne.kl_divergence_), points=len(data), dimensions=data.shape[1], iterations=int(tsne.n_iter_) + 1,
            learning_rate=rate, perplexity=options.perplexity, seed=options.seed)
