// Batches of rows that are too many for the device's memory, or for the host's: read ahead by
// threads while the device works.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "host/data/value_check.hpp"
#include "hourglass/rows.hpp"
#include "kernels/backend.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {

/// Whether a device's memory is the host's: what lies there need not be brought anywhere.
bool uses_host_memory(const Backend& backend);

/// Throws as check_values() for the rows that `values` points at, as RowSource gives them: rows
/// [first, first + count), or those that `index` names.
void check_rows(const RowSource& rows, std::int64_t first, std::int64_t count, const void* values,
                ValueCheck check);
void check_rows(const RowSource& rows, std::span<const std::int32_t> index, const void* values,
                ValueCheck check);

/// Gives the batches of an epoch one after the other, each in device memory:
///   BatchStream stream(backend, rows, 256);
///   stream.begin(order);
///   for (FeatureView batch; (batch = stream.next()).rows > 0;)
///     backend.gather_rows(batch, nullptr, 0, offset, factor, inputs);
/// What is in a batch follows from the order alone. The backend is used by the caller of next()
/// only, the rows by the stream's own threads.
class BatchStream {
 public:
  /// Batches of `batch_rows` rows, 1 or more; the last one of an epoch may be smaller. What `rows`
  /// refers to must outlive the stream. Values are looked at while they are read, where `check`
  /// asks for it. Holds `buffers` batches (2 or more) in the host's memory, and one more on a
  /// device that has its own. Each of `readers` threads reads a batch at a time; a call of the
  /// system for each row bounds what one can do, so that two read cached rows twice as fast. Throws
  /// std::system_error where there are not so many threads.
  BatchStream(Backend& backend, const RowSource& rows, std::int64_t batch_rows,
              ValueCheck check = ValueCheck::none, int buffers = 3, int readers = 1);
  BatchStream(const BatchStream&) = delete;
  BatchStream& operator=(const BatchStream&) = delete;
  /// At any time; waits for the batches that are being read.
  ~BatchStream();

  /// The next batches are `first_batch` and those after it of the rows that `order` names (at most
  /// as many as there are), which must stay as it is until the last batch was given or begin() is
  /// called again. What was left of an epoch before is dropped.
  void begin(std::span<const std::int32_t> order, std::int64_t first_batch = 0);
  /// The same for all rows as they lie.
  void begin(std::int64_t first_batch = 0);

  /// The raw rows of the next batch, valid until the next call of any member; no rows after the
  /// last one. Waits until they are read. Throws what reading or checking them threw, and again
  /// when it is called again.
  FeatureView next();

 private:
  struct Slot {
    unsigned char* memory = nullptr;
    bool ready = false;
    std::exception_ptr error;
  };

  void start(std::optional<std::span<const std::int32_t>> order, std::int64_t rows,
             std::int64_t first_batch);
  void read_ahead();
  void stop() noexcept;
  void fill(std::int64_t batch, unsigned char* memory) const;
  [[nodiscard]] std::int64_t rows_of(std::int64_t batch) const;
  [[nodiscard]] Slot& slot_of(std::int64_t batch);
  void give_back_held();

  Backend& backend_;
  const RowSource rows_;
  const std::int64_t batch_rows_;
  const ValueCheck check_;
  const bool on_host_;
  Buffer<unsigned char> device_memory_;           // the slots, or one batch
  std::unique_ptr<unsigned char[]> host_memory_;  // the slots, where the device has its own memory

  std::mutex mutex_;
  std::condition_variable work_;   // for the readers: a batch to read, a slot for it, or the end
  std::condition_variable ready_;  // for the caller: a batch was read
  // Of the epoch; written by start() while nobody reads, read by all.
  std::optional<std::span<const std::int32_t>> order_;  // none: the rows as they lie
  std::int64_t epoch_rows_ = 0;
  // Guarded by mutex_.
  std::vector<Slot> slots_;     // batch b is in slot b modulo their number
  std::int64_t batches_ = 0;    // of the epoch
  std::int64_t next_read_ = 0;  // the first batch that is not being read yet
  std::int64_t next_given_ = 0;
  std::int64_t released_ = 0;  // batches before it are not needed any more
  bool held_ = false;          // the caller has batch next_given_ - 1
  int reading_ = 0;            // batches that are being read
  bool stop_ = false;
  std::vector<std::thread> readers_;
};

}  // namespace hourglass
