// hourglass: the command. Options are parsed here, work is done by the library, and every way to
// end has its exit status (hourglass/error.hpp).
#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "hourglass/error.hpp"

#ifndef HOURGLASS_VERSION
#define HOURGLASS_VERSION "unknown"
#endif

namespace hourglass::command {
namespace {

int status_of(ExitStatus status) {
  return static_cast<int>(status);
}

void add_common(CLI::App& app, CommonOptions& common) {
  app.add_option("--device", common.device,
                 "cpu; cuda:N; cuda: the GPU with the most free memory; auto: that, else the CPU")
      ->capture_default_str()
      ->group("Common");
  app.add_option("--threads", common.threads, "CPU threads; 0: all")
      ->capture_default_str()
      ->group("Common");
  app.add_option("--seed", common.seed, "Of every random number")
      ->capture_default_str()
      // The parser would take -1 as 2^64 - 1.
      ->check([](const std::string& text) {
        return text.starts_with("-") ? std::string("expected 0 to 2^64 - 1") : std::string();
      })
      ->group("Common");
  app.add_option("--json", common.json,
                 "Options, device, timings and results as JSON, to a file or (-) standard output")
      ->group("Common");
  app.add_flag("--quiet", common.quiet, "Print warnings and errors only")->group("Common");
}

/// Levenshtein's distance.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

/// " (do you mean --epochs?)", or nothing.
std::string suggestion(const std::string& given, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = 3;
  for (const std::string& name : known) {
    const std::size_t d = distance(given, name);
    if (d < best_distance && d < given.size()) {
      best_distance = d;
      best = name;
    }
  }
  return best.empty() ? "" : fmt::format(" (do you mean {}?)", best);
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames())
      names.push_back("--" + name);
  }
  return names;
}

/// The parser's error as one line that names the command.
int report_usage(const CLI::App& app, const std::string& message) {
  const bool top = app.get_parent() == nullptr;
  const std::string name = top ? "hourglass" : "hourglass " + app.get_name();
  fmt::print(stderr, "{}: {}; see {} --help\n", name, message, name);
  return status_of(ExitStatus::usage);
}

int report_parse_error(const CLI::App& app, const CLI::App& selected, const CLI::ParseError& error,
                       const std::vector<std::string>& command_names) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const auto extras = selected.remaining();
    const std::string given = extras.empty() ? "" : extras.front();
    const std::string name = given.substr(0, given.find('='));
    if (&selected == &app) {
      return report_usage(app, fmt::format("unknown command or option '{}'{}", name,
                                           suggestion(name, command_names)));
    }
    return report_usage(
        selected,
        fmt::format("{} '{}'{}", name.starts_with("-") ? "unknown option" : "unexpected argument",
                    name, suggestion(name, option_names(selected))));
  }
  std::string message = error.what();
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    constexpr std::string_view prefix = "Could not convert: ";
    const auto equals = message.find(" = ");
    if (message.starts_with(prefix) && equals != std::string::npos) {
      message = fmt::format("{} {}: expected a number",
                            message.substr(prefix.size(), equals - prefix.size()),
                            message.substr(equals + 3));
    }
  }
  std::replace(message.begin(), message.end(), '\n', ' ');
  while (!message.empty() && (message.back() == '.' || message.back() == ' '))
    message.pop_back();
  return report_usage(selected, message);
}

int run(int argc, char** argv) {
  CLI::App app{"Autoencoders and t-SNE from scratch, on a GPU or the CPU.", "hourglass"};
  app.set_version_flag("--version", "hourglass " HOURGLASS_VERSION);
  app.footer(
      "Exit status: 0 done, 2 wrong usage, 3 bad input, 4 device trouble, 5 the numbers went "
      "wrong, "
      "130 interrupted.\n'hourglass COMMAND --help' shows a command's options.");
  const std::vector<Command> commands{add_article(app),     add_train(app),  add_encode(app),
                                      add_reconstruct(app), add_decode(app), add_pca(app),
                                      add_tsne(app),        add_place(app),  add_score(app),
                                      add_devices(app),     add_data(app)};
  Session session;
  std::vector<std::string> names;
  for (const Command& command : commands) {
    command.app->get_formatter()->column_width(34);
    add_common(*command.app, session.common);
    names.push_back(command.app->get_name());
  }

  const CLI::App* selected = &app;
  const auto select = [&] {
    for (const Command& command : commands) {
      if (command.app->parsed()) selected = command.app;
    }
  };
  try {
    app.parse(argc, argv);
    select();
  } catch (const CLI::Success& success) {
    return app.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    select();
    return report_parse_error(app, *selected, error, names);
  }
  if (selected == &app) {
    return report_usage(app, fmt::format("expected a command: {}", fmt::join(names, ", ")));
  }

  catch_interrupts();
  const std::string name = selected->get_name();
  try {
    session.begin(name);
    for (const Command& command : commands) {
      if (command.app == selected) command.run(session);
    }
    session.finish();
    return status_of(ExitStatus::success);
  } catch (const Error& error) {
    session.clear_progress();
    if (error.status() == ExitStatus::usage) return report_usage(*selected, error.what());
    fmt::print(stderr, "hourglass {}: {}\n", name, error.what());
    return status_of(error.status());
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "hourglass {}: not enough memory\n", name);
    return status_of(ExitStatus::device);
  }
}

}  // namespace
}  // namespace hourglass::command

int main(int argc, char** argv) {
  try {
    return hourglass::command::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "hourglass: internal error: {}\n", error.what());
    return 70;  // EX_SOFTWARE: none of the documented ones
  }
}
