// The article, from data to report: for each scaling, experiment and seed one run; then what holds
// runs against each other; then the page. Runs share nothing but the scaled data and PCA's
// components.
#include "hourglass/article.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <optional>

#include "host/article/claims.hpp"
#include "host/article/experiment_run.hpp"
#include "host/article/page.hpp"
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

/// One run after another, with what is written and said after each.
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
    for (const Scaling scaling : options_.scalings)
      run_scaling(scaling);
    compare_maps();
    findings_.claims = judge_claims(findings_.runs);
    draw_overview();
    findings_.total_seconds = seconds_since(start_);
    write_report();

    ArticleSummary summary;
    summary.report = (directory_ / "report.html").string();
    summary.tables = make_tables(findings_);
    summary.seconds = seconds_since(start_);
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
  void say(fmt::format_string<T...> format, T&&... values) const {
    if (options_.progress) options_.progress(fmt::format(format, std::forward<T>(values)...));
  }

  void load() {
    const Clock::time_point start = Clock::now();
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
    findings_.seconds["data"] += seconds_since(start);
    say("{} training and {} test digits", train_->rows, test_->rows);
  }

  void run_scaling(Scaling scaling) {
    const Clock::time_point start = Clock::now();
    ScaledData data(device_, *train_, *test_, scaling);
    findings_.scalings[std::string(name_of(scaling))] = {data.train_range, data.test_range};
    findings_.seconds["data"] += seconds_since(start);
    for (const Experiment& experiment : findings_.experiments) {
      const int seeds = experiment.depends_on_seed() ? options_.seeds : 1;
      for (int i = 0; i < seeds; ++i)
        run_one(experiment, data, options_.seed + static_cast<std::uint64_t>(i));
      draw_losses(experiment, std::string(name_of(scaling)));
    }
  }

  void run_one(const Experiment& experiment, ScaledData& data, std::uint64_t seed) {
    if (options_.keep_going && !options_.keep_going()) {
      throw Interrupted(fmt::format("article: interrupted before {}, scaled {}, seed {}",
                                    experiment.id, name_of(data.scaler.scaling), seed));
    }
    const Clock::time_point start = Clock::now();
    ExperimentRun result = run_experiment(device_, experiment, data, seed, options_);
    const Run& run = result.run;
    for (const auto& [phase, seconds] : run.seconds)
      findings_.seconds[phase] += seconds;
    const std::string stem = fmt::format("{}-{}-{}", run.experiment, run.scaling, run.seed);
    Json record = run_json(run);
    record["seconds"] = Json(run.seconds);
    write_file_atomically((directory_ / "runs" / (stem + ".json")).string(), record.dump(2) + "\n");
    if (run.map.rows > 0) save_matrix((directory_ / "maps" / (stem + ".npy")).string(), run.map);
    if (seed == options_.seed) draw([&] { return pictures_of(experiment, result, *test_); });
    say("{:<18} {:<9} seed {}: {}{:.1f} s", run.experiment, run.scaling, run.seed, headline(run),
        seconds_since(start));
    findings_.runs.push_back(std::move(result.run));
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

  /// Neighbours that the maps of a sparse and of the simple code share, beside what two seeds of
  /// the simple code share.
  void compare_maps() {
    const Clock::time_point start = Clock::now();
    for (Run& run : findings_.runs) {
      if (run.map.rows <= shared_neighbours) continue;
      const auto simple = runs_of(findings_.runs, "simple", run.scaling);
      const auto with_seed = [&](std::uint64_t seed) {
        return std::find_if(simple.begin(), simple.end(),
                            [&](const Run* candidate) { return candidate->seed == seed; });
      };
      const auto share = [&](const Run& other) {
        return neighbour_preservation(device_, other.map, run.map, shared_neighbours);
      };
      if (run.experiment == "simple" && options_.seeds > 1) {
        const std::uint64_t next =
            (run.seed - options_.seed + 1) % static_cast<std::uint64_t>(options_.seeds);
        const auto other = with_seed(options_.seed + next);
        if (other != simple.end()) run.figures["shared_between_seeds"] = share(**other);
      }
      if (run.experiment.starts_with("sparse-")) {
        const auto other = with_seed(run.seed);
        if (other != simple.end()) run.figures["shared_with_simple"] = share(**other);
      }
    }
    findings_.seconds["scores"] += seconds_since(start);
  }

  /// Draws and keeps what `make` returns.
  template <class Make>
  void draw(Make&& make) {
    const Clock::time_point start = Clock::now();
    for (Picture& picture : make()) {
      report::write_figure((directory_ / "figures" / picture.name).string(), *picture.image);
      findings_.pictures.push_back(std::move(picture));
    }
    findings_.seconds["pictures"] += seconds_since(start);
  }

  void draw_losses(const Experiment& experiment, const std::string& scaling) {
    if (experiment.is_pca()) return;
    draw([&] {
      const auto runs = runs_of(findings_.runs, experiment.id, scaling);
      return std::vector<Picture>{loss_picture(experiment, runs)};
    });
  }

  void draw_overview() {
    std::vector<const Run*> first;
    for (const Run& run : findings_.runs) {
      if (run.seed == options_.seed) first.push_back(&run);
    }
    draw([&] { return overview_pictures(findings_.runs, first, *test_); });
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
    json["timings"] = {{"total", findings_.total_seconds},
                       {"phases", Json(findings_.seconds)},
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
  Findings findings_;
};

}  // namespace
}  // namespace article

ArticleSummary run_article(Device& device, const ArticleOptions& options) {
  return article::Article(device, options).run();
}

}  // namespace hourglass
