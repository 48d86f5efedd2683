#include "host/train/features.hpp"

#include <algorithm>

namespace hourglass {
namespace {

std::int64_t row_bytes(const Dataset& data) {
  return data.columns * static_cast<std::int64_t>(data.is_bytes() ? 1 : sizeof(float));
}

}  // namespace

FeatureBuffer::FeatureBuffer(Backend& backend, const Dataset& data, std::int64_t capacity)
    : backend_(&backend), memory_(backend, capacity * row_bytes(data)) {}

FeatureView FeatureBuffer::load(const Dataset& data, std::int64_t first, std::int64_t count) {
  const std::int64_t bytes = row_bytes(data);
  backend_->upload(memory_.data(), static_cast<const unsigned char*>(data.data()) + first * bytes,
                   static_cast<std::size_t>(count * bytes));
  return {memory_.data(), data.is_bytes(), count, data.columns};
}

std::int64_t block_rows(std::int64_t columns) {
  constexpr std::int64_t elements = std::int64_t{1} << 20;  // 4 MiB
  return std::clamp<std::int64_t>(elements / std::max<std::int64_t>(columns, 1), 64, 4096);
}

}  // namespace hourglass
