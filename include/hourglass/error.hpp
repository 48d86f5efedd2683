// Errors of the library. Each carries the exit status that the `hourglass` command ends with, so
// that a program around the library can tell a wrong option from a bad file or a missing device.
//
// A message is one line: which option, file or call; where; what was found; what was expected.
#pragma once

#include <stdexcept>
#include <string>

namespace hourglass {

enum class ExitStatus : int {
  success = 0,
  usage = 2,      ///< wrong option or combination of options
  bad_input = 3,  ///< a file, or the data in it, is not what was promised; or it cannot be written
  device = 4,     ///< the device asked for is missing, lacks memory or failed
  numerics = 5,   ///< NaN or infinity during the computation
  interrupted = 130  ///< SIGINT or SIGTERM; what was done is saved
};

class Error : public std::runtime_error {
 public:
  Error(ExitStatus status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  [[nodiscard]] ExitStatus status() const noexcept { return status_; }

 private:
  ExitStatus status_;
};

class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ExitStatus::usage, message) {}
};

class InputError : public Error {
 public:
  explicit InputError(const std::string& message) : Error(ExitStatus::bad_input, message) {}
};

class DeviceError : public Error {
 public:
  explicit DeviceError(const std::string& message) : Error(ExitStatus::device, message) {}
};

class NumericsError : public Error {
 public:
  explicit NumericsError(const std::string& message) : Error(ExitStatus::numerics, message) {}
};

class Interrupted : public Error {
 public:
  explicit Interrupted(const std::string& message) : Error(ExitStatus::interrupted, message) {}
};

}  // namespace hourglass
