#include "host/memory.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hourglass/error.hpp"
#include "kernels/backend.hpp"

namespace hourglass {
namespace {

struct Unit {
  double bytes;
  const char* name;
};

Unit unit_of(std::uint64_t bytes) {
  if (bytes >= std::uint64_t{1} << 30) return {0x1p30, "GiB"};
  if (bytes >= std::uint64_t{1} << 20) return {0x1p20, "MiB"};
  return {0x1p10, "KiB"};
}

std::string amount(std::uint64_t bytes) {
  const Unit unit = unit_of(bytes);
  return fmt::format("{:.1f} {}", static_cast<double>(bytes) / unit.bytes, unit.name);
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3; at -= 3)
    digits.insert(at - 3, ",");
  return digits;
}

}  // namespace

std::uint64_t bytes_of(const DataShape& shape) {
  return shape.bytes ? bytes_of<std::uint8_t>({shape.rows, shape.columns})
                     : bytes_of<float>({shape.rows, shape.columns});
}

std::string size_text(const DataShape& shape) {
  return fmt::format("{} x {}", grouped(shape.rows), grouped(shape.columns));
}

MemoryPlan::MemoryPlan(std::string work, std::string advice, std::vector<MemoryPart> parts)
    : work_(std::move(work)), advice_(std::move(advice)), parts_(std::move(parts)) {
  std::erase_if(parts_, [](const MemoryPart& part) { return part.bytes == 0; });
  std::stable_sort(parts_.begin(), parts_.end(),
                   [](const MemoryPart& a, const MemoryPart& b) { return a.bytes > b.bytes; });
}

std::uint64_t MemoryPlan::total_bytes() const {
  std::uint64_t total = 0;
  for (const MemoryPart& part : parts_)
    total += part.bytes;
  return total;
}

std::string MemoryPlan::needs() const {
  const std::uint64_t total = total_bytes();
  const Unit unit = unit_of(total);
  std::vector<std::string> named;
  std::uint64_t other = 0;
  for (const MemoryPart& part : parts_) {
    // What would be shown as 0.0 or is 1 % of the whole does not explain it.
    const auto bytes = static_cast<double>(part.bytes);
    if (bytes < 0.05 * unit.bytes || bytes < 0.01 * static_cast<double>(total)) {
      other += part.bytes;
    } else {
      named.push_back(fmt::format("{} {:.1f}", part.name, bytes / unit.bytes));
    }
  }
  const double rest = static_cast<double>(other) / unit.bytes;
  if (rest >= 0.05) named.push_back(fmt::format("other {:.1f}", rest));
  return named.empty() ? amount(total)
                       : fmt::format("{} ({})", amount(total), fmt::join(named, ", "));
}

void MemoryPlan::check(Device& device) const {
  Backend& backend = device.backend();
  backend.synchronize();  // a GPU gives memory back in the order of its stream
  const DeviceInfo& info = device.info();
  std::uint64_t free = backend.info().free_bytes;
  if (free == 0) return;
  if (total_bytes() <= free) return;
  throw DeviceError(fmt::format("{} needs {} on {}, {} are free: {}{}", work_, needs(), info.id,
                                amount(free), advice_,
                                info.host_memory ? "" : ", or --device cpu"));
}

std::size_t MemoryTimeline::part(std::string_view name) {
  for (std::size_t i = 0; i < now_.size(); ++i) {
    if (now_[i].name == name) return i;
  }
  now_.push_back({std::string(name), 0});
  return now_.size() - 1;
}

void MemoryTimeline::add(std::size_t part, std::uint64_t bytes) {
  now_[part].bytes += bytes;
  total_ += bytes;
  if (total_ > most_total_) {
    most_total_ = total_;
    most_ = now_;
  }
}

void MemoryTimeline::drop(std::size_t part, std::uint64_t bytes) {
  now_[part].bytes -= bytes;
  total_ -= bytes;
}

MemoryTimeline::Held MemoryTimeline::hold(std::string_view name, std::uint64_t bytes) {
  constexpr std::uint64_t alignment = 256;  // of Backend::allocate
  const std::uint64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  const std::size_t at = part(name);
  add(at, rounded);
  return {*this, at, rounded};
}

MemoryTimeline::Held MemoryTimeline::hold_on_host(std::string_view name, std::uint64_t bytes) {
  if (!on_host_) return {};
  const std::size_t at = part(name);
  add(at, bytes);
  return {*this, at, bytes};
}

void MemoryTimeline::run(const Workspace& workspace) {
  const std::size_t at = part("workspace");
  if (workspace.kept > scratch_) {
    if (on_host_) {
      add(at, workspace.kept - scratch_);
      scratch_ = workspace.kept;
    } else {
      // cuda/memory.cpp: at least doubled up to a limit, and what was outgrown is kept.
      constexpr std::uint64_t doubling_limit = std::uint64_t{64} << 20;
      scratch_ = std::max(workspace.kept, std::min(2 * scratch_, doubling_limit));
      add(at, scratch_);
    }
  }
  add(at, workspace.temporary);
  drop(at, workspace.temporary);
}

MemoryPlan MemoryTimeline::plan(std::string work, std::string advice) const {
  return {std::move(work), std::move(advice), most_};
}

}  // namespace hourglass
