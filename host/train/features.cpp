#include "host/train/features.hpp"

#include <algorithm>
#include <memory>

#include "kernels/checks.hpp"

namespace hourglass {
namespace {

const unsigned char* row_of(const RowSource& rows, std::int64_t row) {
  return static_cast<const unsigned char*>(rows.data()) + row * rows.row_bytes();
}

}  // namespace

FeatureBuffer::FeatureBuffer(Backend& backend, const RowSource& rows, std::int64_t capacity)
    : backend_(&backend), on_host_(uses_host_memory(backend)) {
  if (on_host_ && rows.in_memory()) return;
  memory_ = Buffer<unsigned char>(backend, capacity * rows.row_bytes());
}

FeatureView FeatureBuffer::load(const RowSource& rows, std::int64_t first, std::int64_t count,
                                ValueCheck check) {
  FeatureView view{memory_.data(), rows.is_bytes(), count, rows.columns()};
  if (rows.in_memory()) {
    check_rows(rows, first, count, row_of(rows, first), check);
    if (on_host_) {
      view.data = row_of(rows, first);
      return view;
    }
  }
  require(count * rows.row_bytes() <= memory_.size(), "FeatureBuffer::load",
          "no more rows than it has room for");
  if (rows.in_memory()) {
    backend_->upload(memory_.data(), row_of(rows, first),
                     static_cast<std::size_t>(count * rows.row_bytes()));
  } else if (on_host_) {
    rows.read(first, count, memory_.data());
    check_rows(rows, first, count, memory_.data(), check);
  } else {
    const std::int64_t block = std::min(block_rows(rows.columns()), count);
    const auto staging = std::make_unique_for_overwrite<unsigned char[]>(
        static_cast<std::size_t>(block * rows.row_bytes()));
    for (std::int64_t done = 0; done < count; done += block) {
      const std::int64_t part = std::min(block, count - done);
      rows.read(first + done, part, staging.get());
      check_rows(rows, first + done, part, staging.get(), check);
      backend_->upload(memory_.data() + done * rows.row_bytes(), staging.get(),
                       static_cast<std::size_t>(part * rows.row_bytes()));
    }
  }
  return view;
}

ValueCheck value_check(Scaling scaling) {
  return scaling == Scaling::unit ? ValueCheck::unit : ValueCheck::finite;
}

std::int64_t block_rows(std::int64_t columns) {
  constexpr std::int64_t elements = std::int64_t{1} << 20;  // 4 MiB
  return std::clamp<std::int64_t>(elements / std::max<std::int64_t>(columns, 1), 64, 4096);
}

std::int64_t statistics_rows(std::int64_t columns) {
  constexpr std::int64_t elements = std::int64_t{1} << 23;  // 32 MiB
  return std::max<std::int64_t>(elements / std::max<std::int64_t>(columns, 1), 64);
}

}  // namespace hourglass
