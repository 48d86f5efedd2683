// Runs the built `hourglass` as a user does, in a directory of its own.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace hourglass::testing_support {

struct Outcome {
  int status = -1;  ///< of the exit; 128 + signal where a signal ended it
  std::string out;
  std::string err;
};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A program of the build, beside this test.
inline std::string beside_this_test(const char* program) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / program).string();
}

/// HOURGLASS_COMMAND, else `hourglass` beside this test.
inline std::string command_path() {
  if (const char* given = std::getenv("HOURGLASS_COMMAND")) return given;
  return beside_this_test("hourglass");
}

/// A temporary directory in which commands run; removed at the end.
class Workplace {
 public:
  explicit Workplace(std::string program = command_path()) : program_(std::move(program)) {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "hourglass-command-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    directory_ = pattern;
  }
  ~Workplace() {
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;

  [[nodiscard]] std::filesystem::path at(const std::string& name) const {
    return directory_ / name;
  }

  /// Starts the command; its output goes to the files "stdout" and "stderr" of the directory.
  [[nodiscard]] pid_t start(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all{program_};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& argument : all)
      argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string out = at("stdout").string();
    const std::string err = at("stderr").string();
    const std::string directory = directory_.string();
    // Here, not in the child: whoever waits for a line must not see one of the run before.
    const int out_file = open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const int err_file = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out_file < 0 || err_file < 0) throw std::runtime_error("cannot write in " + directory);
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("fork failed");
    if (child == 0) {
      const int input = open("/dev/null", O_RDONLY);
      dup2(input, 0);
      dup2(out_file, 1);
      dup2(err_file, 2);
      if (chdir(directory.c_str()) != 0) _exit(126);
      alarm(120);  // a command that hangs ends as a failure
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(out_file);
    close(err_file);
    return child;
  }

  [[nodiscard]] Outcome finish(pid_t child) const {
    int status = 0;
    if (waitpid(child, &status, 0) != child) throw std::runtime_error("waitpid failed");
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            read_file(at("stdout")), read_file(at("stderr"))};
  }

  [[nodiscard]] Outcome run(const std::vector<std::string>& arguments) const {
    return finish(start(arguments));
  }

  /// Names of the files, without the two that hold the output.
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      const std::string name = entry.path().filename().string();
      if (name != "stdout" && name != "stderr") names.push_back(name);
    }
    return names;
  }

 private:
  std::string program_;
  std::filesystem::path directory_;
};

}  // namespace hourglass::testing_support
