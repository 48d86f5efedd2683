// The benchmarks' program from outside: what its filter finds, and whether its figures make sense.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "bench/kernels.hpp"
#include "tests/command/run_command.hpp"

namespace hourglass {
namespace {

using testing_support::Outcome;
using testing_support::read_file;
using testing_support::Workplace;

namespace fs = std::filesystem;

class BenchTest : public testing::Test {
 protected:
  [[nodiscard]] Outcome run(const std::vector<std::string>& arguments) const {
    return workplace_.run(arguments);
  }
  /// The names of the cases that a filter finds.
  [[nodiscard]] std::string listed(const std::string& filter) const {
    const Outcome outcome = run({"--benchmark_list_tests", "--benchmark_filter=" + filter});
    EXPECT_EQ(outcome.status, 0) << filter << ": " << outcome.err;
    return outcome.out;
  }

  Workplace workplace_{testing_support::beside_this_test("hourglass_bench")};
};

const fs::path kernels_folder = fs::path(HOURGLASS_SOURCE_DIR) / "kernels";

/// Without comments, which mention kernels too.
std::string code_of(const fs::path& file) {
  return std::regex_replace(read_file(file), std::regex("//[^\n]*"), "");
}

std::set<std::string> first_groups(const std::string& text, const std::regex& pattern) {
  std::set<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), pattern), end; match != end; ++match)
    found.insert((*match)[1]);
  return found;
}

/// Every __global__ function, by the file that defines it.
std::map<std::string, std::set<std::string>> kernels_of_files() {
  const std::regex kernel(R"(__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\()");
  std::map<std::string, std::set<std::string>> kernels;
  for (const auto& entry : fs::directory_iterator(kernels_folder / "cuda")) {
    const std::string extension = entry.path().extension();
    if (extension != ".cu" && extension != ".cuh") continue;
    // probe.cu asks whether the GPU runs the library: its kernel is no operation.
    if (entry.path().stem() == "probe") continue;
    const std::string code = code_of(entry.path());
    std::set<std::string> found = first_groups(code, kernel);
    std::size_t declared = 0;
    for (std::size_t at = 0; (at = code.find("__global__", at)) != std::string::npos; ++at)
      ++declared;
    EXPECT_EQ(found.size(), declared) << entry.path() << ": kernels of a form unknown to this test";
    if (!found.empty()) kernels[entry.path().stem()] = std::move(found);
  }
  return kernels;
}

TEST_F(BenchTest, KnowsEveryKernelOfTheSources) {
  if (!fs::exists(kernels_folder)) GTEST_SKIP() << "the sources are not here";
  std::set<std::string> named;
  for (const auto& [operation, kernels] : bench::kernels_of_operation)
    named.insert(kernels.begin(), kernels.end());
  std::set<std::string> defined;
  for (const auto& [file, kernels] : kernels_of_files()) {
    defined.insert(kernels.begin(), kernels.end());
    // A file that bears an operation's name holds kernels of that operation.
    const auto operation = bench::kernels_of_operation.find(file);
    if (operation == bench::kernels_of_operation.end()) continue;
    std::set<std::string> of_file;  // bias_activation.cu has its backward pass as well
    for (const auto& [name, list] : bench::kernels_of_operation) {
      if (name.starts_with(file)) of_file.insert(list.begin(), list.end());
    }
    for (const std::string& kernel : kernels)
      EXPECT_TRUE(of_file.contains(kernel)) << kernel << " is not among the kernels of " << file;
  }
  EXPECT_GT(defined.size(), 30u);
  EXPECT_EQ(named, defined);
}

TEST_F(BenchTest, FilterFindsEveryKernelByItsName) {
  std::map<std::string, std::vector<std::string>> operations_of;
  for (const auto& [operation, kernels] : bench::kernels_of_operation) {
    for (const std::string_view kernel : kernels)
      operations_of[std::string(kernel)].emplace_back(operation);
  }
  ASSERT_FALSE(operations_of.empty());
  for (const auto& [kernel, operations] : operations_of) {
    const std::string names = listed(kernel);
    for (const std::string& operation : operations)
      EXPECT_NE(names.find("cpu/" + operation + "/"), std::string::npos)
          << kernel << " does not find " << operation;
  }
}

TEST_F(BenchTest, FilterTakesShapesCachesAndNegation) {
  const std::string cold = listed("adam_kernel/50992/cold$");
  EXPECT_EQ(cold.rfind("cpu/adam/50992/cold", 0), 0u) << cold;
  EXPECT_EQ(cold.find('\n'), cold.size() - 1) << cold;
  const std::string others = listed("-adam");
  EXPECT_EQ(others.find("adam"), std::string::npos);
  EXPECT_NE(others.find("cpu/gemm/"), std::string::npos);
  EXPECT_NE(others.find("cpu/train_step/784-32-784/"), std::string::npos);
  EXPECT_NE(others.find("cpu/tsne_iteration/10000"), std::string::npos);
}

TEST_F(BenchTest, HasACaseForEveryOperationOfTheTable) {
  if (!fs::exists(kernels_folder)) GTEST_SKIP() << "the sources are not here";
  const std::string table = code_of(kernels_folder / "backend.hpp");
  std::set<std::string> operations = first_groups(table, std::regex(R"(virtual\s+void\s+(\w+)\()"));
  ASSERT_GT(operations.size(), 20u);
  for (const char* no_work : {"release", "synchronize", "set_gemm_precision", "start", "stop",
                              "begin_range", "end_range", "prepare", "run"})
    EXPECT_EQ(operations.erase(no_work), 1u) << no_work;
  // Repulsion::evaluate is the operation tsne_repulsion.
  EXPECT_EQ(operations.erase("evaluate"), 1u);
  operations.insert("tsne_repulsion");
  const std::string names = listed("all");
  for (const std::string& operation : operations) {
    for (const char* caches : {"warm", "cold"}) {
      EXPECT_TRUE(
          std::regex_search(names, std::regex("cpu/" + operation + "/[^\n]*/" + caches + "/")))
          << operation << ", " << caches;
    }
  }
}

TEST_F(BenchTest, MeasuresTheCeilingsAndSharesOfThem) {
  // One thread: tests run beside one another.
  const Outcome outcome =
      run({"--threads", "1", "--benchmark_min_time=0.01", "--benchmark_out=out.json",
           "--benchmark_filter=adam/50992|train_step/784-32-784/batch256$"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto document = nlohmann::json::parse(read_file(workplace_.at("out.json")));
  const auto ceiling = [&](const char* name) {
    return std::stod(document.at("context").at(std::string("cpu.") + name).get<std::string>());
  };
  EXPECT_GT(ceiling("copy_bytes_per_second"), 1e8);
  EXPECT_GE(ceiling("memory_bytes_per_second"), ceiling("copy_bytes_per_second"));
  EXPECT_GE(ceiling("cached_bytes_per_second"), ceiling("memory_bytes_per_second"));
  EXPECT_GT(ceiling("fma_flops_per_second"), 1e8);
  EXPECT_GT(ceiling("gemm_flops_per_second"), 1e8);

  const auto& cases = document.at("benchmarks");
  ASSERT_EQ(cases.size(), 3u);
  const std::vector<std::string> names{"cpu/adam/50992/warm", "cpu/adam/50992/cold",
                                       "cpu/train_step/784-32-784/batch256"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& result = cases[i];
    EXPECT_EQ(result.at("name").get<std::string>().rfind(names[i], 0), 0u) << result;
    const double share = result.at("share");
    EXPECT_TRUE(share > 0.0 && share < 1.5) << result;
    EXPECT_TRUE(result.at("spread").get<double>() >= 0.0) << result;
    const double seconds = 1e-6 * result.at("real_time").get<double>();
    EXPECT_TRUE(seconds > 0.0 && seconds < 1.0) << result;
    const double bytes = result.at("bytes/s").get<double>() * seconds;
    const double wanted = i < 2 ? 28.0 * 50992 : 28.0 * 50992 + 256 * 784;
    EXPECT_NEAR(bytes, wanted, 1e-3 * wanted) << result;
    const double flops = result.at("flop/s").get<double>() * seconds;
    const double work = i < 2 ? 12.0 * 50992 : 2.0 * 256 * 784 * 32 * 5;
    EXPECT_NEAR(flops, work, 1e-3 * work) << result;
  }
}

TEST_F(BenchTest, RefusesWhatItCannotDo) {
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& message) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, 2) << arguments.front();
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  };
  refused({"--benchmark_filter=adam("}, "--benchmark_filter=adam(");
  refused({"--benchmark_filter=no_such_operation"}, "no benchmark matches");
  refused({"--benchmark_min_time=soon"}, "--benchmark_min_time soon");
  refused({"--threads=-1"}, "--threads -1");
  refused({"--device", "abacus"}, "abacus");
  refused({"--unknown"}, "--unknown");
}

}  // namespace
}  // namespace hourglass
