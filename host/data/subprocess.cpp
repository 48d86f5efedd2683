#include "host/data/subprocess.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "hourglass/error.hpp"

extern char** environ;

namespace hourglass {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t most_output = 1 << 16;

struct FileActions {
  FileActions() { posix_spawn_file_actions_init(&value); }
  ~FileActions() { posix_spawn_file_actions_destroy(&value); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t value;
};

struct Attributes {
  Attributes() {
    posix_spawnattr_init(&value);
    // Signals that this process ignores or blocks would stay so in the helper.
    sigset_t defaults;
    sigemptyset(&defaults);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE})
      sigaddset(&defaults, signal);
    posix_spawnattr_setsigdefault(&value, &defaults);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&value, &none);
    posix_spawnattr_setflags(&value, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~Attributes() { posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t value;
};

// Collects what the process writes until it closes its output; false where the deadline comes
// first.
bool collect(int descriptor, Clock::time_point deadline, std::string& output) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waiting{descriptor, POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return false;
    if (ready <= 0) continue;
    std::array<char, 4096> chunk;
    const ssize_t count = read(descriptor, chunk.data(), chunk.size());
    if (count == 0) return true;
    if (count < 0) {
      if (errno == EINTR) continue;
      return true;
    }
    output.append(chunk.data(), static_cast<std::size_t>(count));
    if (output.size() > 2 * most_output) output.erase(0, output.size() - most_output);
  }
}

// Waits for the end of a process that has closed its output; false where the deadline comes first.
bool wait_for_end(pid_t process, Clock::time_point deadline, int& status) {
  while (true) {
    const pid_t ended = waitpid(process, &status, WNOHANG);
    if (ended == process) return true;
    if (ended < 0 && errno != EINTR) return false;
    if (Clock::now() >= deadline) return false;
    poll(nullptr, 0, 5);
  }
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments, const std::string& directory,
                          std::chrono::seconds limit) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw InputError(fmt::format("{}: cannot be started: {}", arguments[0], std::strerror(errno)));
  }
  FileActions actions;
  posix_spawn_file_actions_addopen(&actions.value, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions.value, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions.value, ends[1], STDERR_FILENO);
  posix_spawn_file_actions_addchdir_np(&actions.value, directory.c_str());
  const Attributes attributes;

  std::vector<char*> argv;
  for (const std::string& argument : arguments)
    argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  ProcessResult result;
  pid_t process = -1;
  const int error =
      posix_spawnp(&process, argv[0], &actions.value, &attributes.value, argv.data(), environ);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    if (error == EAGAIN || error == ENOMEM) {
      throw InputError(
          fmt::format("{}: cannot be started: {}", arguments[0], std::strerror(error)));
    }
    return result;
  }
  result.started = true;

  const Clock::time_point deadline = Clock::now() + limit;
  int status = 0;
  if (!collect(ends[0], deadline, result.output) || !wait_for_end(process, deadline, status)) {
    result.timed_out = true;
    kill(process, SIGKILL);
    while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
  }
  close(ends[0]);
  if (result.output.size() > most_output) {
    result.output.erase(0, result.output.size() - most_output);
  }
  if (WIFEXITED(status)) {
    result.exit_status = WEXITSTATUS(status);
  } else if (WIFSIGNALED(status)) {
    result.exit_status = 128 + WTERMSIG(status);
  }
  // Some programs catch the signal and exit with this status themselves.
  if (!result.timed_out &&
      (result.exit_status == 128 + SIGINT || result.exit_status == 128 + SIGTERM)) {
    throw Interrupted(fmt::format("interrupted while {} was running", arguments[0]));
  }
  return result;
}

}  // namespace hourglass
