// hourglass article
#include "hourglass/article.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "commands.hpp"
#include "host/report/table.hpp"

namespace hourglass::command {
namespace {

struct ArticleArguments {
  ArticleOptions options;
  std::string scale = "both";
};

/// Tables of text: the first column names its row, the others are figures or answers.
std::string to_text(const ArticleTable& table) {
  report::Table text;
  text.caption = table.title;
  for (std::size_t i = 0; i < table.header.size(); ++i) {
    text.columns.push_back({table.header[i], "", report::Align::left});
  }
  for (const auto& row : table.rows) {
    std::vector<report::Cell> cells;
    for (const std::string& cell : row)
      cells.push_back({cell, report::Tone::plain});
    text.rows.push_back(std::move(cells));
  }
  return report::to_text(text, 140);
}

void article(Session& session, const ArticleArguments& arguments) {
  ArticleOptions options = arguments.options;
  if (arguments.scale != "both") options.scalings = {parse_scaling(arguments.scale)};
  options.seed = session.common.seed;
  options.progress = [&](const std::string& line) { session.print("{}", line); };
  options.keep_going = [] { return !is_interrupted(); };
  Json scalings = Json::array();
  for (const Scaling scaling : options.scalings)
    scalings.push_back(name_of(scaling));
  session.options = {{"out", options.directory}, {"only", options.only},
                     {"scale", scalings},        {"seeds", options.seeds},
                     {"quick", options.quick},   {"epochs", options.epochs},
                     {"batch", options.batch},   {"tsne_iterations", options.tsne_iterations}};
  Device& device = session.open_device();
  const ArticleSummary summary =
      session.time("article", [&] { return run_article(device, options); });
  session.results["report"] = summary.report;
  session.results["tables"] = Json::array();
  for (const ArticleTable& table : summary.tables) {
    session.results["tables"].push_back(
        {{"title", table.title}, {"header", table.header}, {"rows", table.rows}});
    session.print("\n{}", to_text(table));
  }
  session.results["lanes"] = summary.lanes;
  session.results["overlap"] = summary.overlap;
  session.print_field(
      "time", fmt::format("{}; {:.2f} of {} lane{} at work on average", duration(summary.seconds),
                          summary.overlap, summary.lanes, summary.lanes == 1 ? "" : "s"));
  session.print_field("report", summary.report);
}

}  // namespace

Command add_article(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand(
      "article", "Run the article's experiments on MNIST, check its claims and write a report");
  const auto arguments = std::make_shared<ArticleArguments>();
  ArticleOptions& options = arguments->options;
  app->add_option("--out", options.directory, "Directory of the report")->capture_default_str();
  app->add_option("--only", options.only,
                  fmt::format("Some of: {}", fmt::join(article_experiments(), ", ")))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  app->add_option("--scale", arguments->scale, "standard (the article's), unit, or both")
      ->capture_default_str();
  app->add_option("--seeds", options.seeds, "Runs of each experiment")->capture_default_str();
  app->add_flag("--quick", options.quick, "One seed, and scale unit where both are asked for");
  app->add_option("--epochs", options.epochs, "Of every autoencoder")->capture_default_str();
  app->add_option("--batch", options.batch, "Rows of a step")->capture_default_str();
  app->add_option("--tsne-iterations", options.tsne_iterations, "Of every map")
      ->capture_default_str();
  return {app, [arguments](Session& session) { article(session, *arguments); }};
}

}  // namespace hourglass::command
