// The article's experiments on MNIST, measured: every model, code and map over several seeds and
// both scalings, each claim answered by figures, and a report to look at.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hourglass/dataset.hpp"
#include "hourglass/device.hpp"
#include "hourglass/scaler.hpp"

namespace hourglass {

struct ArticleOptions {
  std::string directory = "article";  ///< created; holds report.html, report.json, figures/, runs/
  /// Experiments by name ("deep-2d") or group ("sparse" is "sparse-l1" and "sparse-kl"); empty:
  /// all.
  std::vector<std::string> only;
  std::vector<Scaling> scalings = {Scaling::unit, Scaling::standard};
  std::uint64_t seed = 0;  ///< the first; seeds follow one another
  int seeds = 3;
  bool quick = false;  ///< one seed and, where both scalings are asked for, `unit` alone
  int epochs = 10;
  std::int64_t batch = 256;
  int tsne_iterations = 1000;
  /// In place of MNIST, which is fetched where these are null. Labelled images.
  const Dataset* train = nullptr;
  const Dataset* test = nullptr;
  /// One line for each run, as it ends. Called from several threads, one at a time, as keep_going
  /// is; but the two may be called at once.
  std::function<void(const std::string&)> progress;
  /// Asked a few times a second; false ends the run with Interrupted. Finished runs/ stay.
  std::function<bool()> keep_going;
};

struct ArticleTable {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

struct ArticleSummary {
  std::string report;                ///< path of report.html
  std::vector<ArticleTable> tables;  ///< the key figures, then the claims
  double seconds = 0;
  int lanes = 1;       ///< that the runs were shared out over
  double overlap = 0;  ///< seconds of all phases on all lanes, by those on the wall
};

/// The names that ArticleOptions::only takes: experiments and groups.
std::vector<std::string> article_experiments();

/// Throws UsageError for an unknown experiment or an option out of range, InputError where MNIST
/// cannot be had, the data is not labelled images or the directory cannot be written, and what
/// fit() and tsne() throw: of runs that go on side by side the first to throw ends all. Runs are
/// independent, and go on side by side on the lanes of the device (Device::lanes()), the longest
/// first. Everything but times, the order of progress and the words for the device is the same,
/// byte for byte, for the same options on the same kind of device, whatever its number of threads.
ArticleSummary run_article(Device& device, const ArticleOptions& options);

}  // namespace hourglass
