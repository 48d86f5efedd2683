// The article end to end on small synthetic digits: every file, the same bytes again, and what is
// refused.
#include "hourglass/article.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

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
