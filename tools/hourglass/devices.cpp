// hourglass devices, hourglass data
#include <fmt/format.h>

#include <memory>

#include "commands.hpp"
#include "hourglass/dataset.hpp"
#include "hourglass/device.hpp"

namespace hourglass::command {
namespace {

/// "80.0 GiB, 79.1 free"
std::string memory_text(const DeviceInfo& info) {
  const auto gibibytes = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 0x1p30; };
  std::string text = fmt::format("{:.1f} GiB", gibibytes(info.memory_bytes));
  if (info.free_bytes > 0) text += fmt::format(", {:.1f} free", gibibytes(info.free_bytes));
  return text;
}

void devices(Session& session) {
  const DeviceList list = session.time("devices", [] { return list_devices(); });
  session.results["devices"] = Json::array();
  for (const DeviceInfo& info : list.devices) {
    session.results["devices"].push_back({{"id", info.id},
                                          {"backend", info.backend},
                                          {"name", info.name},
                                          {"threads", info.threads},
                                          {"memory_bytes", info.memory_bytes},
                                          {"free_bytes", info.free_bytes}});
    session.print_field(info.id,
                        fmt::format("{}, {}{}", info.name, memory_text(info),
                                    info.host_memory ? fmt::format(", {} thread{}", info.threads,
                                                                   info.threads == 1 ? "" : "s")
                                                     : ""));
  }
  session.results["no_cuda_reason"] =
      list.no_cuda_reason.empty() ? Json(nullptr) : Json(list.no_cuda_reason);
  if (!list.no_cuda_reason.empty()) session.print_field("cuda", list.no_cuda_reason);
}

struct DataArguments {
  std::string name;
  std::string out;
};

void fetch(Session& session, const DataArguments& arguments) {
  session.options = {{"name", arguments.name},
                     {"out", arguments.out.empty() ? Json(nullptr) : Json(arguments.out)}};
  const auto files =
      session.time("fetch", [&] { return fetch_dataset(arguments.name, arguments.out); });
  session.results["files"] = Json::array();
  for (const DatasetFile& file : files) {
    session.results["files"].push_back({{"path", file.path},
                                        {"sha256", file.sha256},
                                        {"bytes", file.bytes},
                                        {"fetched", file.fetched}});
    session.print("{}  {} bytes, SHA-256 as expected, {}", file.path,
                  grouped(static_cast<std::int64_t>(file.bytes)),
                  file.fetched ? "fetched" : "was there");
  }
}

}  // namespace

Command add_devices(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("devices", "What --device can name here, and why no GPU");
  return {app, devices};
}

Command add_data(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("data", "Fetch a dataset, checked by SHA-256");
  const auto arguments = std::make_shared<DataArguments>();
  app->add_option("name", arguments->name, "mnist or fashion-mnist")->required();
  app->add_option("--out", arguments->out, "Directory; without it, the cache");
  return {app, [arguments](Session& session) { fetch(session, *arguments); }};
}

}  // namespace hourglass::command
