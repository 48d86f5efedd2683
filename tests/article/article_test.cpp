// The article end to end on small synthetic digits: every file, the same bytes again, and what is
// refused.
#include "hourglass/article.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "host/article/experiments.hpp"
#include "hourglass/error.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass {
namespace {

namespace fs = std::filesystem;

/// Ten classes of 8 x 8 images: a bright bar each at its own place, noise around it.
Dataset bars(std::string name, std::int64_t rows, std::uint64_t seed) {
  parity::Random random(seed);
  Dataset data;
  data.name = std::move(name);
  data.rows = rows;
  data.columns = 64;
  data.image_height = 8;
  data.image_width = 8;
  std::vector<std::uint8_t> values(static_cast<std::size_t>(rows * 64));
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto digit = static_cast<std::int32_t>(i % 10);
    data.labels.push_back(digit);
    for (std::int64_t d = 0; d < 64; ++d) {
      const bool lit = digit < 5 ? d / 8 == digit + 1 : d % 8 == digit - 4;
      const double noise = 40 * random.uniform();
      values[static_cast<std::size_t>(i * 64 + d)] =
          static_cast<std::uint8_t>(lit ? 255 - noise : noise);
    }
  }
  data.values = std::move(values);
  return data;
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class ArticleTest : public testing::Test {
 protected:
  ArticleTest() {
    directory_ =
        fs::temp_directory_path() / ("hourglass-article-" + std::to_string(::getpid()) + "-" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);
    options_.directory = (directory_ / "a" / "b").string();
    options_.train = &train_;
    options_.test = &test_;
    options_.seeds = 2;
    options_.epochs = 2;
    options_.batch = 32;
    options_.tsne_iterations = 60;
  }
  ~ArticleTest() override { fs::remove_all(directory_); }

  Device device_ = Device::open("cpu", 2);
  Dataset train_ = bars("bars:train", 300, 1);
  Dataset test_ = bars("bars:test", 120, 2);
  fs::path directory_;
  ArticleOptions options_;
};

TEST_F(ArticleTest, WritesEverything) {
  std::vector<std::string> lines;
  options_.progress = [&](const std::string& line) { lines.push_back(line); };
  const ArticleSummary summary = run_article(device_, options_);
  const fs::path out = options_.directory;
  EXPECT_EQ(summary.report, (out / "report.html").string());
  EXPECT_GT(summary.seconds, 0);
  ASSERT_EQ(summary.tables.size(), 2u);
  EXPECT_EQ(summary.tables[0].rows.size(), 26u);  // 13 experiments, 2 scalings
  for (const ArticleTable& table : summary.tables) {
    for (const auto& row : table.rows)
      EXPECT_EQ(row.size(), table.header.size());
  }
  EXPECT_EQ(lines.size(), 1u + 12 * 2 * 2 + 2);  // pca-2 has no seeds

  const auto report = nlohmann::json::parse(text_of(out / "report.json"));
  EXPECT_EQ(report["article"]["train"], "bars:train");
  EXPECT_EQ(report["runs"].size(), 50u);
  EXPECT_EQ(report["summary"].size(), 26u);
  EXPECT_EQ(report["claims"].size(), 9u);
  EXPECT_EQ(report["timings"]["runs"].size(), 50u);
  for (const auto& claim : report["claims"])
    EXPECT_GE(claim["answers"].size(), 2u) << claim["id"];
  for (const auto& run : report["runs"]) {
    const std::string id = run["experiment"];
    for (const auto& [name, value] : run["figures"].items())
      EXPECT_TRUE(value.is_number()) << id << " " << name;  // NaN is written as null
    const auto& experiments = article::all_experiments();
    const auto& experiment = *std::find_if(experiments.begin(), experiments.end(),
                                           [&](const auto& e) { return e.id == id; });
    EXPECT_EQ(run.contains("history"), !experiment.is_pca()) << id;
    EXPECT_EQ(run["figures"].contains("gaussian_error"), !experiment.is_pca()) << id;
    for (const char* figure :
         {"map_kl", "map_span", "map_force_error", "map_neighbours_10", "map_neighbours_30"}) {
      EXPECT_EQ(run["figures"].contains(figure), experiment.view == article::View::tsne)
          << id << " " << figure;
    }
    EXPECT_TRUE(run["figures"].contains("code_one_nn")) << id;
    const std::string stem = id + "-" + std::string(run["scaling"]) + "-" +
                             std::to_string(static_cast<int>(run["seed"]));
    EXPECT_TRUE(fs::exists(out / "runs" / (stem + ".json"))) << stem;
    EXPECT_EQ(fs::exists(out / "maps" / (stem + ".npy")), experiment.view != article::View::none)
        << stem;
    EXPECT_EQ(run["figures"].contains("shared_between_seeds"), id == "simple");
    EXPECT_EQ(run["figures"].contains("shared_with_simple"),
              experiment.id == "sparse-l1" || experiment.id == "sparse-kl");
  }

  EXPECT_GE(report["pictures"].size(), 90u);
  for (const std::string name : report["pictures"]) {
    for (const char* extension : {".png", ".svg"})
      EXPECT_GT(fs::file_size(out / "figures" / (name + extension)), 500u) << name << extension;
  }
  for (const char* name : {"simple-unit-map", "deep-2d-standard-codes", "sparse-l1-unit-loss",
                           "pca-32-unit-reconstructions", "overcomplete-kl-standard-filters",
                           "simple-unit-activations", "planes-unit", "maps-standard",
                           "denoising-mask-standard-denoising", "contractive-unit-activations"})
    EXPECT_TRUE(fs::exists(out / "figures" / (std::string(name) + ".svg"))) << name;

  const std::string page = text_of(out / "report.html");
  for (const char* wanted : {"deep-2d against shallow-2d", "does not hold", "64-128-64-2",
                             "What standardising does to the loss", "kl:0.05:0.004",
                             "What an activity penalty is summed over", "contractive 0.001",
                             "trained on inputs with noise"})
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
}

TEST_F(ArticleTest, IsTheSameAgainButForTimes) {
  options_.only = {"simple", "pca"};
  options_.scalings = {Scaling::unit};
  const auto run = [&](const char* name) {
    options_.directory = (directory_ / name).string();
    run_article(device_, options_);
    return fs::path(options_.directory);
  };
  const fs::path a = run("a");
  const fs::path b = run("b");
  int files = 0;
  for (const char* folder : {"figures", "maps"}) {
    for (const auto& entry : fs::directory_iterator(a / folder)) {
      EXPECT_EQ(text_of(entry.path()), text_of(b / folder / entry.path().filename()))
          << entry.path();
      ++files;
    }
  }
  EXPECT_GT(files, 20);
  auto json_a = nlohmann::json::parse(text_of(a / "report.json"));
  auto json_b = nlohmann::json::parse(text_of(b / "report.json"));
  json_a.erase("timings");
  json_b.erase("timings");
  EXPECT_EQ(json_a.dump(), json_b.dump());
}

// Runs go on side by side, each on a thread of its own: what is written follows from the options
// alone.
TEST_F(ArticleTest, IsTheSameOnAnyNumberOfThreads) {
  options_.only = {"simple", "shallow-2d", "sparse-kl", "denoising-mask", "pca"};
  const auto run = [&](int threads) {
    Device device = Device::open("cpu", threads);
    options_.directory = (directory_ / std::to_string(threads)).string();
    ArticleSummary summary = run_article(device, options_);
    EXPECT_EQ(summary.lanes, threads);
    return summary;
  };
  const ArticleSummary one = run(1);
  const fs::path serial = options_.directory;
  const auto without_times = [](const fs::path& directory) {
    auto json = nlohmann::json::parse(text_of(directory / "report.json"));
    json.erase("timings");
    json["device"].erase("threads");
    return json.dump();
  };
  for (const int threads : {2, 5}) {
    const ArticleSummary several = run(threads);
    const fs::path out = options_.directory;
    int files = 0;
    for (const char* folder : {"figures", "maps"}) {
      for (const auto& entry : fs::directory_iterator(serial / folder)) {
        EXPECT_EQ(text_of(entry.path()), text_of(out / folder / entry.path().filename()))
            << entry.path() << ", " << threads << " threads";
        ++files;
      }
    }
    EXPECT_GT(files, 50);
    EXPECT_EQ(without_times(serial), without_times(out));
    ASSERT_EQ(one.tables.size(), several.tables.size());
    for (std::size_t t = 0; t < one.tables.size(); ++t)
      EXPECT_EQ(one.tables[t].rows, several.tables[t].rows);
  }
}

TEST_F(ArticleTest, TellsWhatItsTimeWentTo) {
  options_.scalings = {Scaling::unit};
  options_.only = {"simple", "shallow-2d", "pca-2"};
  const ArticleSummary summary = run_article(device_, options_);
  const auto timings =
      nlohmann::json::parse(text_of(fs::path(options_.directory) / "report.json"))["timings"];
  EXPECT_EQ(timings["lanes"], 2);
  EXPECT_EQ(summary.lanes, 2);
  EXPECT_GT(summary.overlap, 0);
  EXPECT_LE(summary.overlap, 2.0);
  const double total = timings["total"];
  double seconds = 0, share = 0;
  std::vector<std::string> phases;
  for (const auto& phase : timings["phases"]) {
    phases.push_back(phase["phase"]);
    seconds += phase["seconds"].get<double>();
    share += phase["share"].get<double>();
    EXPECT_GE(phase["seconds"].get<double>(), phase["wall_seconds"].get<double>()) << phase;
    EXPECT_LE(phase["wall_seconds"].get<double>(), total) << phase;
  }
  std::sort(phases.begin(), phases.end());
  EXPECT_EQ(phases, (std::vector<std::string>{"codes", "data", "files", "pictures", "scores",
                                              "t-SNE", "training"}));
  EXPECT_NEAR(share, 1, 1e-9);
  EXPECT_NEAR(timings["overlap"].get<double>(), seconds / total, 1e-9);
  EXPECT_DOUBLE_EQ(timings["overlap"].get<double>(), summary.overlap);
  // A run's own seconds are among them.
  double training = 0, of_runs = 0;
  for (const auto& phase : timings["phases"]) {
    if (phase["phase"] == "training") training = phase["seconds"];
  }
  for (const auto& run : timings["runs"])
    of_runs += run["training"].get<double>();
  EXPECT_NEAR(training, of_runs, 1e-9);
  const std::string page = text_of(fs::path(options_.directory) / "report.html");
  for (const char* wanted : {"Seconds by phase", "over all lanes", "of 2 lanes were at work"})
    EXPECT_NE(page.find(wanted), std::string::npos) << wanted;
}

TEST_F(ArticleTest, AnErrorInOneRunEndsAll) {
  // A directory where the record of a run is to be written.
  const fs::path record = fs::path(options_.directory) / "runs" / "shallow-2d-unit-1.json";
  fs::create_directories(record);
  Device device = Device::open("cpu", 3);
  try {
    run_article(device, options_);
    FAIL() << "the error was lost";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(record.string()), std::string::npos) << error.what();
  }
  EXPECT_FALSE(fs::exists(fs::path(options_.directory) / "report.html"));
  for (const auto& entry : fs::recursive_directory_iterator(options_.directory)) {
    if (!entry.is_regular_file()) continue;
    // No file half written, none beside its target.
    const std::string extension = entry.path().extension();
    EXPECT_TRUE(extension == ".json" || extension == ".npy" || extension == ".png" ||
                extension == ".svg")
        << entry.path();
    if (extension == ".json") {
      EXPECT_TRUE(nlohmann::json::accept(text_of(entry.path()))) << entry.path();
    }
  }
}

TEST_F(ArticleTest, AnErrorOfTheCallerIsPassedOn) {
  options_.only = {"simple", "shallow-2d"};
  std::size_t lines = 0;
  options_.progress = [&](const std::string&) {
    if (++lines == 3) throw std::runtime_error("no more paper");
  };
  try {
    run_article(device_, options_);
    FAIL() << "the error was lost";
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "no more paper");
  }
  EXPECT_LE(lines, 4u);  // a run of the other lane may have been at its end
}

TEST_F(ArticleTest, QuickIsOneSeedOfUnit) {
  options_.quick = true;
  options_.only = {"shallow-2d"};
  run_article(device_, options_);
  const auto report = nlohmann::json::parse(text_of(fs::path(options_.directory) / "report.json"));
  ASSERT_EQ(report["runs"].size(), 1u);
  EXPECT_EQ(report["runs"][0]["scaling"], "unit");
  EXPECT_FALSE(report["summary"][0]["figures"]["code_one_nn"].contains("deviation"));
}

TEST_F(ArticleTest, SelectsByNameAndGroup) {
  const auto ids = [](const std::vector<std::string>& names) {
    std::vector<std::string> found;
    for (const auto& experiment : article::select_experiments(names))
      found.push_back(experiment.id);
    return found;
  };
  EXPECT_EQ(ids({"sparse"}), (std::vector<std::string>{"sparse-l1", "sparse-kl", "sparse-l1sum"}));
  EXPECT_EQ(ids({"pca-2", "simple"}), (std::vector<std::string>{"simple", "pca-2"}));
  EXPECT_EQ(ids({}).size(), article::all_experiments().size());
  for (const std::string& name : article_experiments())
    EXPECT_FALSE(ids({name}).empty()) << name;
  options_.only = {"simpel"};
  try {
    run_article(device_, options_);
    FAIL() << "an unknown experiment was taken";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("shallow-2d"), std::string::npos) << error.what();
  }
}

TEST_F(ArticleTest, StopsWhereItIsTold) {
  int asked = 0;
  options_.keep_going = [&] { return ++asked < 4; };
  EXPECT_THROW(run_article(device_, options_), Interrupted);
  EXPECT_FALSE(fs::exists(fs::path(options_.directory) / "report.html"));
}

TEST_F(ArticleTest, WhatHasEndedBeforeAnInterruptStays) {
  std::atomic<bool> going{true};
  std::vector<std::string> lines;
  options_.progress = [&](const std::string& line) {
    lines.push_back(line);
    if (lines.size() == 4) going = false;
  };
  options_.keep_going = [&] { return going.load(); };
  EXPECT_THROW(run_article(device_, options_), Interrupted);
  EXPECT_FALSE(fs::exists(fs::path(options_.directory) / "report.html"));
  std::size_t records = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(options_.directory) / "runs")) {
    EXPECT_TRUE(nlohmann::json::accept(text_of(entry.path()))) << entry.path();
    ++records;
  }
  EXPECT_EQ(records, lines.size() - 1);  // the first line is of the data
}

TEST_F(ArticleTest, RefusesWhatCannotBe) {
  const auto refused = [&](auto&& change) {
    ArticleOptions options = options_;
    change(options);
    EXPECT_THROW(run_article(device_, options), UsageError);
  };
  refused([](ArticleOptions& o) { o.seeds = 0; });
  refused([](ArticleOptions& o) { o.epochs = 0; });
  refused([](ArticleOptions& o) { o.batch = 0; });
  refused([](ArticleOptions& o) { o.tsne_iterations = -1; });
  refused([](ArticleOptions& o) { o.scalings = {}; });
  refused([](ArticleOptions& o) { o.scalings = {Scaling::none}; });
  refused([](ArticleOptions& o) { o.directory = ""; });
  refused([](ArticleOptions& o) { o.test = nullptr; });

  Dataset bad = test_;
  bad.labels.pop_back();
  options_.test = &bad;
  EXPECT_THROW(run_article(device_, options_), InputError);
  bad = test_;
  bad.image_width = 0;
  EXPECT_THROW(run_article(device_, options_), InputError);
  options_.test = &test_;
  fs::create_directories(directory_);
  std::ofstream(directory_ / "file") << "x";
  options_.directory = (directory_ / "file").string();
  EXPECT_THROW(run_article(device_, options_), InputError);
}

}  // namespace
}  // namespace hourglass
