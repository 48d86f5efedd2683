// Pieces of work that do not depend on one another, side by side on the lanes of a device.
#pragma once

#include <exception>
#include <functional>
#include <mutex>
#include <vector>

#include "hourglass/device.hpp"

namespace hourglass::article {

struct Piece {
  double cost = 0;  ///< how long it takes, in any unit: the order of the pieces is all that counts
  std::function<void(Device& lane)> work;
};

class Lanes {
 public:
  /// As many as `device` divides into, `most` at most; else the device itself is the only one.
  /// `keep_going` may be empty.
  Lanes(Device& device, int most, std::function<bool()> keep_going);

  [[nodiscard]] int count() const { return static_cast<int>(lanes_.size()); }

  /// What long work asks a few times a second: false once a piece has failed or where the caller's
  /// keep_going says so, which is asked by one thread at a time.
  [[nodiscard]] bool keep_going();

  /// Does every piece, each on one lane with a thread of its own; of several lanes' pieces the
  /// costliest begins first, so that the lanes end together. Which lane takes a piece is left open.
  /// After the first exception no further piece begins; when all that run have ended it is thrown
  /// again, and those that it caused are dropped. May then not be called again.
  void run(std::vector<Piece> pieces);

 private:
  void work(Device& lane, const std::vector<Piece>& pieces);

  std::vector<Device> owned_;
  std::vector<Device*> lanes_;
  std::function<bool()> keep_going_;
  std::mutex asking_;
  std::mutex mutex_;
  std::size_t next_ = 0;
  std::exception_ptr failure_;
};

}  // namespace hourglass::article
