#!/usr/bin/Rscript
# Times Rtsne (the Barnes-Hut code of van der Maaten, theta 0.5). Prints one line of JSON; `seconds` is the whole of
# Rtsne(), neighbours included, `kl` is the last cost that Rtsne reports.
#
#   tsne_rtsne.R DATA.npy [--start MAP.npy] [--out MAP.npy] [--perplexity 30] [--iterations 1000]
#                [--learning-rate X] [--threads 1] [--seed 0]

stop_with <- function(...) {
  message("tsne_rtsne.R: ", ...)
  quit(status = 3)
}

if (!requireNamespace("Rtsne", quietly = TRUE)) stop_with("no package Rtsne: Debian's package is r-cran-rtsne")

# A two-dimensional .npy file of little-endian float32 or float64 in C order.
read_npy <- function(path) {
  file <- file(path, "rb")
  on.exit(close(file))
  magic <- readBin(file, "raw", 8)
  if (length(magic) < 8 || magic[1] != 0x93) stop_with(path, " is not a .npy file")
  size <- if (magic[7] == 1) 2 else 4
  length <- readBin(file, "integer", 1, size = size, signed = size == 4, endian = "little")
  header <- readChar(file, length, useBytes = TRUE)
  shape <- as.integer(strsplit(sub(".*\\(([^)]*)\\).*", "\\1", header), ",")[[1]])
  width <- if (grepl("'<f4'", header)) 4 else if (grepl("'<f8'", header)) 8 else 0
  if (width == 0 || length(shape) != 2 || grepl("True", header)) {
    stop_with(path, ": expected float32 or float64, two dimensions, C order; the header is ", header)
  }
  matrix(readBin(file, "double", prod(shape), size = width, endian = "little"), shape[1], shape[2], byrow = TRUE)
}

write_npy <- function(m, path) {
  header <- sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", nrow(m), ncol(m))
  header <- paste0(header, strrep(" ", (64 - (10 + nchar(header) + 1) %% 64) %% 64), "\n")
  file <- file(path, "wb")
  on.exit(close(file))
  writeBin(as.raw(c(0x93, utf8ToInt("NUMPY"), 1, 0)), file)
  writeBin(nchar(header), file, size = 2, endian = "little")
  writeChar(header, file, eos = NULL)
  writeBin(as.vector(t(m)), file, size = 4, endian = "little")
}

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) %% 2 == 0) stop_with("expected a .npy file, then pairs of an option and its value")
known <- list(start = NA, out = NA, perplexity = 30, iterations = 1000, `learning-rate` = NA, threads = 1, seed = 0)
for (i in seq_len((length(arguments) - 1) / 2)) {
  name <- sub("^--", "", arguments[2 * i])
  if (!name %in% names(known)) stop_with("unknown option ", arguments[2 * i])
  value <- arguments[2 * i + 1]
  known[[name]] <- if (name %in% c("start", "out")) value else as.numeric(value)
}

data <- read_npy(arguments[1])
rate <- if (is.na(known[["learning-rate"]])) max(nrow(data) / 12, 50) else known[["learning-rate"]]
start <- if (is.na(known$start)) NULL else read_npy(known$start)
set.seed(known$seed)
# A given start makes Rtsne skip the exaggeration unless it is asked for.
seconds <- system.time(result <- Rtsne::Rtsne(
  data, dims = 2, perplexity = known$perplexity, theta = 0.5, max_iter = known$iterations, pca = FALSE,
  normalize = FALSE, check_duplicates = FALSE, Y_init = start, stop_lying_iter = 250L, mom_switch_iter = 250L,
  exaggeration_factor = 12, eta = rate, num_threads = known$threads))[["elapsed"]]
if (!is.na(known$out)) write_npy(result$Y, known$out)
cat(sprintf(paste0(
  '{"peer": "Rtsne", "version": "%s", "seconds": %.3f, "threads": %d, "kl": %.6f, "points": %d, "dimensions": %d, ',
  '"iterations": %d, "learning_rate": %.6g, "perplexity": %g, "seed": %d}\n'),
  as.character(utils::packageVersion("Rtsne")), seconds, as.integer(known$threads), tail(result$itercosts, 1),
  nrow(data), ncol(data), as.integer(known$iterations), rate, known$perplexity, as.integer(known$seed)))
