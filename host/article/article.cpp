// The article, from data to report: for each scaling, experiment and seed one run, side by side on
// the lanes of the device; then what holds runs against each other; then the page. Runs share
// nothing but the scaled data and what is made of it once (ScaledData). A run computes the same on
// whichever lane, and everything is kept by its place in the report, so that nothing but times
// follows from the number of lanes.
#include "hourglass/article.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "host/article/claims.hpp"
#include "host/article/experiment_run.hpp"
#include "host/article/lanes.hpp"
#include "host/article/page.hpp"
#include "host/article/phases.hpp"
#include "host/article/pictures.hpp"
#include "host/article/record.hpp"
#include "host/data/atomic_file.hpp"
#include "hourglass/error.hpp"

namespace hourglass {
namespace article {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Neighbours by which two maps are compared.
constexpr int shared_neighbours = 30;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void check_options(const ArticleOptions& options) {
  const auto require = [](bool holds, const char* option, auto value, const char* expected) {
    if (!holds)
      throw UsageError(fmt::format("article: {} is {}; expected {}", option, value, expected));
  };
  require(options.seeds >= 1, "seeds", options.seeds, "1 or more");
  require(options.epochs >= 1, "epochs", options.epochs, "1 or more");
  require(options.batch >= 1, "batch", options.batch, "1 or more");
  require(options.tsne_iterations >= 0, "t-SNE iterations", options.tsne_iterations, "0 or more");
  if (options.directory.empty()) throw UsageError("article: no directory for the report");
  if (options.scalings.empty()) throw UsageError("article: no scaling; expected unit or standard");
  for (const Scaling scaling : options.scalings) {
    if (scaling == Scaling::none)
      throw UsageError("article: scaling \"none\"; expected unit or standard");
  }
  if ((options.train == nullptr) != (options.test == nullptr)) {
    throw UsageError("article: training digits without test digits, or the other way round");
  }
}

void check_images(const Dataset& data) {
  if (static_cast<std::int64_t>(data.labels.size()) != data.rows || data.rows < 5) {
    throw InputError(fmt::format("{}: {} labels for {} rows; expected labelled images, 5 or more",
                                 data.name, data.labels.size(), data.rows));
  }
  if (data.image_height * data.image_width != data.columns) {
    throw InputError(fmt::format("{}: {} columns and images of {} x {}; expected images", data.name,
                                 data.columns, data.image_height, data.image_width));
  }
}

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw InputError(
        fmt::format("{}: cannot be made a directory: {}", path.string(), error.message()));
  }
}

/// What one run leaves behind, at its place in the order of the report.
struct Place {
  const Experiment* experiment = nullptr;
  std::size_t data = 0;  ///< which scaling
  std::uint64_t seed = 0;
  Run run;
  std::vector<Picture> pictures;
};

/// The runs of one experiment and scaling, over the seeds: places [first, first + count).
struct Group {
  std::size_t first = 0;
  std::size_t count = 0;
};

class Article {
 public:
  Article(Device& device, const ArticleOptions& options)
      : device_(device), options_(effective(options)), directory_(options.directory) {
    check_options(options_);
    findings_.experiments = select_experiments(options_.only);
  }

  ArticleSummary run() {
    make_directory(directory_ / "figures");
    make_directory(directory_ / "runs");
    make_directory(directory_ / "maps");
    load();
    plan_runs();
    Lanes lanes(device_, static_cast<int>(places_.size()), options_.keep_going);
    // Asked also where the caller does not wish to be: a run that fails ends the others.
    options_.keep_going = [&lanes] { return lanes.keep_going(); };
    findings_.lanes = lanes.count();
    scale_data(lanes);
    run_experiments(lanes);
    compare_runs(lanes);
    findings_.claims = judge_claims(findings_.runs);
    write_report();

    ArticleSummary summary;
    summary.report = (directory_ / "report.html").string();
    summary.tables = make_tables(findings_);
    summary.seconds = seconds_since(start_);
    summary.lanes = findings_.lanes;
    summary.overlap = overlap(findings_);
    return summary;
  }

 private:
  static ArticleOptions effective(ArticleOptions options) {
    if (options.quick) {
      options.seeds = 1;
      if (options.scalings.size() > 1) options.scalings = {Scaling::unit};
    }
    return options;
  }

  template <class... T>
  void say(fmt::format_string<T...> format, T&&... values) {
    const std::lock_guard lock(saying_);
    if (options_.progress) options_.progress(fmt::format(format, std::forward<T>(values)...));
  }

  void load() {
    clock_.time("data", [&] { load_digits(); });
    say("{} training and {} test digits", train_->rows, test_->rows);
  }

  void load_digits() {
    if (options_.train == nullptr) {
      own_train_ = load_dataset("mnist:train");
      own_test_ = load_dataset("mnist:test");
      train_ = &*own_train_;
      test_ = &*own_test_;
    } else {
      train_ = options_.train;
      test_ = options_.test;
    }
    check_images(*train_);
    check_images(*test_);
    if (train_->columns != test_->columns) {
      throw InputError(fmt::format("{}: {} columns; {} has {}", test_->name, test_->columns,
                                   train_->name, train_->columns));
    }
    findings_.inputs = train_->columns;
  }

  void plan_runs() {
    data_.resize(options_.scalings.size());
    for (std::size_t s = 0; s < data_.size(); ++s) {
      for (const Experiment& experiment : findings_.experiments) {
        const auto seeds =
            static_cast<std::size_t>(experiment.depends_on_seed() ? options_.seeds : 1);
        groups_.push_back({places_.size(), seeds});
        for (std::size_t i = 0; i < seeds; ++i) {
          places_.push_back({&experiment, s, options_.seed + i, {}, {}});
        }
      }
    }
  }

  void scale_data(Lanes& lanes) {
    std::vector<Piece> pieces;
    for (std::size_t s = 0; s < data_.size(); ++s) {
      pieces.push_back({0, [this, s](Device& lane) {
                          clock_.time("data", [&] {
                            data_[s] = std::make_unique<ScaledData>(
                                lane, *train_, *test_, options_.scalings[s], findings_.experiments);
                          });
                        }});
    }
    lanes.run(std::move(pieces));
  }

  void run_experiments(Lanes& lanes) {
    std::vector<Piece> pieces;
    for (Place& place : places_) {
      pieces.push_back({cost_of(*place.experiment, *train_, *test_, options_),
                        [this, &place](Device& lane) { run_one(lane, place); }});
    }
    // What the values look like is a pass over the training digits that no run waits for.
    std::vector<ScalingEffect> effects(data_.size());
    for (std::size_t s = 0; s < data_.size(); ++s) {
      pieces.push_back(
          {0, [this, s, &effects](Device&) {
             clock_.time("data", [&] {
               const Scaler& scaler = data_[s]->scaler;
               effects[s] = {scaled_range(scaler, *train_), scaled_range(scaler, *test_)};
             });
           }});
    }
    lanes.run(std::move(pieces));
    for (std::size_t s = 0; s < data_.size(); ++s)
      findings_.scalings[std::string(name_of(options_.scalings[s]))] = effects[s];
    data_.clear();
    for (Place& place : places_)
      findings_.runs.push_back(std::move(place.run));
  }

  void run_one(Device& lane, Place& place) {
    const Clock::time_point start = Clock::now();
    const Experiment& experiment = *place.experiment;
    ExperimentRun result =
        run_experiment(lane, experiment, *data_[place.data], place.seed, options_, clock_);
    Run& run = result.run;
    if (place.seed == options_.seed) {
      clock_.time("pictures", run.seconds, [&] {
        place.pictures = pictures_of(experiment, result, *test_);
        write_pictures(place.pictures);
      });
    }
    clock_.time("files", run.seconds, [&] { write_run(run); });
    say("{:<18} {:<9} seed {}: {}{:.1f} s", run.experiment, run.scaling, run.seed, headline(run),
        seconds_since(start));
    place.run = std::move(run);
  }

  void write_run(const Run& run) {
    const std::string stem = fmt::format("{}-{}-{}", run.experiment, run.scaling, run.seed);
    if (run.map.rows > 0) save_matrix((directory_ / "maps" / (stem + ".npy")).string(), run.map);
    Json record = run_json(run);
    record["seconds"] = Json(run.seconds);
    write_file_atomically((directory_ / "runs" / (stem + ".json")).string(), record.dump(2) + "\n");
  }

  /// "reconstruction 0.0953, code 1-NN 95.1 %, map 1-NN 91.5 %, "
  static std::string headline(const Run& run) {
    std::string text;
    for (const char* name : {"test_reconstruction", "code_one_nn_leave_one_out", "map_one_nn"}) {
      const auto found = run.figures.find(name);
      if (found == run.figures.end()) continue;
      const FigureInfo& info = figure_info(name);
      text += fmt::format("{} {}, ", info.label,
                          format_statistic(statistic(std::span(&found->second, 1)), info));
    }
    return text;
  }

  /// What takes several runs: neighbours that two maps share, losses over the seeds, overviews.
  void compare_runs(Lanes& lanes) {
    std::vector<Piece> pieces;
    std::deque<Comparison> comparisons = plan_comparisons();
    for (Comparison& comparison : comparisons) {
      pieces.push_back({1, [this, &comparison](Device& lane) {
                          comparison.value = clock_.time("scores", [&] {
                            return neighbour_preservation(lane, comparison.other->map,
                                                          comparison.run->map, shared_neighbours);
                          });
                        }});
    }
    std::vector<std::optional<Picture>> losses(groups_.size());
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (places_[groups_[g].first].experiment->is_pca()) continue;
      pieces.push_back({0, [this, g, &losses](Device&) {
                          clock_.time("pictures", [&] { losses[g] = draw_losses(groups_[g]); });
                        }});
    }
    std::vector<Picture> overviews;
    pieces.push_back({2, [this, &overviews](Device&) {
                        clock_.time("pictures", [&] { overviews = draw_overviews(); });
                      }});
    lanes.run(std::move(pieces));

    for (const Comparison& comparison : comparisons)
      comparison.run->figures[comparison.figure] = comparison.value;
    const auto keep = [&](Picture& picture) { findings_.pictures.push_back(std::move(picture)); };
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      for (std::size_t i = 0; i < groups_[g].count; ++i) {
        for (Picture& picture : places_[groups_[g].first + i].pictures)
          keep(picture);
      }
      if (losses[g]) keep(*losses[g]);
    }
    for (Picture& picture : overviews)
      keep(picture);
  }

  /// Neighbours that the maps of two runs share.
  struct Comparison {
    Run* run = nullptr;
    const Run* other = nullptr;
    const char* figure = nullptr;
    double value = 0;
  };

  /// Of a sparse and of the simple code, beside what two seeds of the simple code share.
  std::deque<Comparison> plan_comparisons() {
    std::deque<Comparison> comparisons;
    for (Run& run : findings_.runs) {
      if (run.map.rows <= shared_neighbours) continue;
      const auto simple = runs_of(findings_.runs, "simple", run.scaling);
      const auto compare = [&](std::uint64_t seed, const char* figure) {
        for (const Run* other : simple) {
          if (other->seed == seed) comparisons.push_back({&run, other, figure, 0});
        }
      };
      if (run.experiment == "simple" && options_.seeds > 1) {
        const std::uint64_t next =
            (run.seed - options_.seed + 1) % static_cast<std::uint64_t>(options_.seeds);
        compare(options_.seed + next, "shared_between_seeds");
      }
      if (run.experiment.starts_with("sparse-")) compare(run.seed, "shared_with_simple");
    }
    return comparisons;
  }

  Picture draw_losses(const Group& group) {
    std::vector<const Run*> runs;
    for (std::size_t i = 0; i < group.count; ++i)
      runs.push_back(&findings_.runs[group.first + i]);
    const Picture picture = loss_picture(*places_[group.first].experiment, runs);
    write_picture(picture);
    return picture;
  }

  std::vector<Picture> draw_overviews() {
    std::vector<const Run*> first;
    for (const Run& run : findings_.runs) {
      if (run.seed == options_.seed) first.push_back(&run);
    }
    const std::vector<Picture> pictures = overview_pictures(findings_.runs, first, *test_);
    write_pictures(pictures);
    return pictures;
  }

  void write_picture(const Picture& picture) {
    report::write_figure((directory_ / "figures" / picture.name).string(), *picture.image);
  }
  void write_pictures(const std::vector<Picture>& pictures) {
    for (const Picture& picture : pictures)
      write_picture(picture);
  }

  void write_report() {
    Json json;
    json["article"] = {{"train", train_->name},
                       {"test", test_->name},
                       {"seed", options_.seed},
                       {"seeds", options_.seeds},
                       {"epochs", options_.epochs},
                       {"batch", options_.batch},
                       {"tsne",
                        {{"start", "random"},
                         {"perplexity", 30},
                         {"iterations", options_.tsne_iterations},
                         {"early_exaggeration", 12},
                         {"learning_rate", 800}}}};
    const DeviceInfo& device = device_.info();
    json["device"] = {
        {"backend", device.backend}, {"name", device.name}, {"threads", device.threads}};
    json["experiments"] = Json::array();
    for (const Experiment& experiment : findings_.experiments)
      json["experiments"].push_back(experiment_json(experiment));
    json["scalings"] = Json::object();
    for (const auto& [name, effect] : findings_.scalings) {
      json["scalings"][name] = {{"train", range_json(effect.train)},
                                {"test", range_json(effect.test)}};
    }
    json["figures"] = figures_json();
    json["claims"] = claims_json(findings_.claims);
    json["summary"] = summary_json(findings_.runs);
    json["runs"] = Json::array();
    for (const Run& run : findings_.runs)
      json["runs"].push_back(run_json(run));
    json["pictures"] = Json::array();
    for (const Picture& picture : findings_.pictures)
      json["pictures"].push_back(picture.name);
    findings_.phases = clock_.times();
    findings_.total_seconds = seconds_since(start_);
    json["timings"] = {{"total", findings_.total_seconds},
                       {"lanes", findings_.lanes},
                       {"overlap", overlap(findings_)},
                       {"phases", phases_json(findings_.phases)},
                       {"runs", Json::array()}};
    for (const Run& run : findings_.runs)
      json["timings"]["runs"].push_back(seconds_json(run));
    write_file_atomically((directory_ / "report.json").string(), json.dump(2) + "\n");
    write_file_atomically((directory_ / "report.html").string(),
                          report::to_html(make_page(findings_, options_, device)));
  }

  Clock::time_point start_ = Clock::now();
  Device& device_;
  ArticleOptions options_;
  fs::path directory_;
  std::optional<Dataset> own_train_;
  std::optional<Dataset> own_test_;
  const Dataset* train_ = nullptr;
  const Dataset* test_ = nullptr;
  std::vector<std::unique_ptr<ScaledData>> data_;  // by scaling, while runs need it
  std::vector<Place> places_;
  std::vector<Group> groups_;
  std::mutex saying_;
  PhaseClock clock_;
  Findings findings_;
};

}  // namespace
}  // namespace article

ArticleSummary run_article(Device& device, const ArticleOptions& options) {
  return article::Article(device, options).run();
}

}  // namespace hourglass
