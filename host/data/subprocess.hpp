// Running a helper program: no shell, no output of its own on the terminal, a limit on its time.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace hourglass {

struct ProcessResult {
  bool started = false;    ///< false where there is no such program
  bool timed_out = false;  ///< it was ended after the limit
  int exit_status = -1;  ///< of a program that ended by itself; 128 + the signal's number otherwise
  std::string output;    ///< standard output and error together, the last 64 KB

  [[nodiscard]] bool succeeded() const { return started && !timed_out && exit_status == 0; }
};

/// Runs `arguments[0]`, found along PATH, with the others as they are, in `directory`, with an
/// empty standard input, and waits for its end. Throws Interrupted where the user's SIGINT or
/// SIGTERM ended it, InputError where the system cannot start any process.
[[nodiscard]] ProcessResult run_process(const std::vector<std::string>& arguments,
                                        const std::string& directory, std::chrono::seconds limit);

}  // namespace hourglass
