#include "host/train/batch_stream.hpp"

#include <algorithm>

#include "kernels/checks.hpp"

namespace hourglass {
namespace {

constexpr std::int64_t alignment = 256;  // of a slot, as of all device memory

std::int64_t slot_bytes(const RowSource& rows, std::int64_t batch_rows) {
  return (std::min(batch_rows, rows.rows()) * rows.row_bytes() + alignment - 1) / alignment *
         alignment;
}

std::span<const float> floats_of(const RowSource& rows, const void* values, std::int64_t count) {
  return {static_cast<const float*>(values), static_cast<std::size_t>(count * rows.columns())};
}

}  // namespace

bool uses_host_memory(const Backend& backend) {
  return backend.info().host_memory;
}

void check_rows(const RowSource& rows, std::int64_t first, std::int64_t count, const void* values,
                ValueCheck check) {
  if (rows.is_bytes()) return;
  check_values(rows.name(), floats_of(rows, values, count), rows.first_row() + first,
               rows.columns(), check);
}

void check_rows(const RowSource& rows, std::span<const std::int32_t> index, const void* values,
                ValueCheck check) {
  if (rows.is_bytes() || check == ValueCheck::none) return;
  const auto* row = static_cast<const float*>(values);
  for (const std::int32_t number : index) {
    check_rows(rows, number, 1, row, check);
    row += rows.columns();
  }
}

BatchStream::BatchStream(Backend& backend, const RowSource& rows, std::int64_t batch_rows,
                         ValueCheck check, int buffers, int readers)
    : backend_(backend),
      rows_(rows),
      batch_rows_(batch_rows),
      check_(check),
      on_host_(uses_host_memory(backend)) {
  require(batch_rows >= 1 && buffers >= 2 && readers >= 1, "BatchStream",
          "a row a batch, two buffers and a reader at least");
  const std::int64_t bytes = slot_bytes(rows, batch_rows);
  device_memory_ = Buffer<unsigned char>(backend, on_host_ ? buffers * bytes : bytes);
  if (!on_host_) {
    host_memory_ =
        std::make_unique_for_overwrite<unsigned char[]>(static_cast<std::size_t>(buffers * bytes));
  }
  unsigned char* memory = on_host_ ? device_memory_.data() : host_memory_.get();
  for (int i = 0; i < buffers; ++i)
    slots_.push_back({memory + i * bytes, false, nullptr});
  try {
    for (int i = 0; i < readers; ++i)
      readers_.emplace_back([this] { read_ahead(); });
  } catch (...) {
    stop();
    throw;
  }
}

BatchStream::~BatchStream() {
  stop();
}

void BatchStream::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& reader : readers_)
    reader.join();
}

void BatchStream::begin(std::span<const std::int32_t> order, std::int64_t first_batch) {
  start(order, static_cast<std::int64_t>(order.size()), first_batch);
}

void BatchStream::begin(std::int64_t first_batch) {
  start(std::nullopt, rows_.rows(), first_batch);
}

void BatchStream::start(std::optional<std::span<const std::int32_t>> order, std::int64_t rows,
                        std::int64_t first_batch) {
  const std::int64_t batches = (rows + batch_rows_ - 1) / batch_rows_;
  require(rows <= rows_.rows(), "BatchStream::begin", "no more rows than there are");
  require(first_batch >= 0 && first_batch <= batches, "BatchStream::begin", "a batch of the epoch");
  std::unique_lock lock(mutex_);
  next_read_ = batches_ = 0;  // nothing more of the epoch before is begun
  ready_.wait(lock, [&] { return reading_ == 0; });
  for (Slot& slot : slots_)
    slot.ready = false;
  held_ = false;
  order_ = order;
  epoch_rows_ = rows;
  batches_ = batches;
  next_read_ = next_given_ = released_ = first_batch;
  lock.unlock();
  work_.notify_all();
}

std::int64_t BatchStream::rows_of(std::int64_t batch) const {
  return std::min(batch_rows_, epoch_rows_ - batch * batch_rows_);
}

BatchStream::Slot& BatchStream::slot_of(std::int64_t batch) {
  return slots_[static_cast<std::size_t>(batch) % slots_.size()];
}

void BatchStream::give_back_held() {
  if (!held_) return;
  held_ = false;
  slot_of(next_given_ - 1).ready = false;
  released_ = next_given_;
  work_.notify_one();
}

FeatureView BatchStream::next() {
  std::unique_lock lock(mutex_);
  give_back_held();
  FeatureView batch{device_memory_.data(), rows_.is_bytes(), 0, rows_.columns()};
  if (next_given_ == batches_) return batch;
  Slot& slot = slot_of(next_given_);
  ready_.wait(lock, [&] { return slot.ready; });
  if (slot.error) std::rethrow_exception(slot.error);
  batch.rows = rows_of(next_given_);
  ++next_given_;
  held_ = true;
  if (on_host_) {
    batch.data = slot.memory;
    return batch;
  }
  // A slot is left alone until it is given back. Operations that read the batch before
  // were queued before this copy, so that one batch of device memory is enough.
  lock.unlock();
  backend_.upload(device_memory_.data(), slot.memory,
                  static_cast<std::size_t>(batch.rows * rows_.row_bytes()));
  lock.lock();
  give_back_held();
  return batch;
}

void BatchStream::fill(std::int64_t batch, unsigned char* memory) const {
  const std::int64_t first = batch * batch_rows_;
  const std::int64_t count = rows_of(batch);
  if (!order_) {
    rows_.read(first, count, memory);
    check_rows(rows_, first, count, memory, check_);
    return;
  }
  const auto index =
      order_->subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
  rows_.gather(index, memory);
  check_rows(rows_, index, memory, check_);
}

void BatchStream::read_ahead() {
  std::unique_lock lock(mutex_);
  const auto slots = static_cast<std::int64_t>(slots_.size());
  while (true) {
    work_.wait(lock,
               [&] { return stop_ || (next_read_ < batches_ && next_read_ < released_ + slots); });
    if (stop_) return;
    const std::int64_t batch = next_read_++;
    Slot& slot = slot_of(batch);
    ++reading_;
    lock.unlock();
    std::exception_ptr error;
    try {
      fill(batch, slot.memory);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot.error = error;
    slot.ready = true;
    --reading_;
    ready_.notify_one();
  }
}

}  // namespace hourglass
