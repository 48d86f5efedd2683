// Every operation once, at sizes so small that ThreadSanitizer and valgrind get through them in
// seconds and yet beyond one tile, one sweep and one block: on the model of CUDA and on the CPU,
// with equal results; and no kernel is left out.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/buffer.hpp"
#include "kernels/cpu/backend.hpp"
#include "kernels/cuda/backend.hpp"
#include "tests/oracle/parity.hpp"
#include "tests/sim/machine.hpp"

namespace hourglass {
namespace {

/// What the operations wrote, by name.
using Results = std::vector<std::pair<std::string, std::vector<double>>>;

class Operations {
 public:
  explicit Operations(Backend& backend) : backend_(backend), random_(1) {}

  Results run() {
    data();
    layers(9, 33);
    layers(70, 36);
    layers(3, 180);  // more strips of columns than tickets
    embedding();
    neighbours();
    hub();
    map();
    return std::move(results_);
  }

 private:
  Buffer<float> normals(std::int64_t count, double deviation = 1.0, double mean = 0.0) {
    return Buffer<float>(backend_, std::span<const float>(random_.normals(count, deviation, mean)));
  }
  Buffer<float> uniforms(std::int64_t count) {
    return Buffer<float>(backend_, std::span<const float>(random_.uniforms(count, 0.05, 0.95)));
  }
  template <class T>
  Buffer<T> filled(const std::vector<T>& values) {
    return Buffer<T>(backend_, std::span<const T>(values));
  }
  template <class T>
  Buffer<T> zeros(std::int64_t count) {
    return filled(std::vector<T>(static_cast<std::size_t>(count)));
  }
  template <class T>
  void keep(const std::string& name, const Buffer<T>& buffer) {
    const std::vector<T> values = buffer.download();
    results_.emplace_back(name, std::vector<double>(values.begin(), values.end()));
  }

  void data() {
    for (const std::int64_t columns : {36, 33}) {
      const std::int64_t rows = 70;
      Buffer<float> x = normals(rows * columns, 2.0, 5.0);
      std::vector<unsigned char> bytes(static_cast<std::size_t>(rows * columns));
      for (unsigned char& byte : bytes)
        byte = static_cast<unsigned char>(random_.below(256));
      Buffer<unsigned char> b = filled(bytes);
      for (const bool of_bytes : {false, true}) {
        const FeatureView view{of_bytes ? static_cast<const void*>(b.data()) : x.data(), of_bytes,
                               rows, columns};
        Buffer<double> mean(backend_, columns), deviation(backend_, columns);
        backend_.column_statistics(view, mean.span(), deviation.span());
        keep("mean", mean);
        keep("deviation", deviation);
        Buffer<float> offset = normals(columns), factor = normals(columns);
        Buffer<std::int32_t> index = filled(std::vector<std::int32_t>{3, 69, 0, 3});
        Buffer<float> out(backend_, 4 * columns);
        backend_.gather_rows(view, index.data(), 0, offset.span(), factor.span(),
                             out.matrix(4, columns));
        keep("gathered", out);
        Buffer<std::int32_t> order(backend_, rows);
        backend_.shuffle_rows(9, 2, order.span());
        keep("shuffled", order);
        Buffer<std::int64_t> steps_done = filled(std::vector<std::int64_t>{19});
        backend_.gather_batch(view, std::as_const(order).span(), 4, steps_done.data(),
                              std::as_const(offset).span(), std::as_const(factor).span(),
                              out.matrix(4, columns));
        keep("batch", out);
        Buffer<double> covariance(backend_, columns * columns);
        if (!of_bytes) {
          backend_.covariance(x.matrix(rows, columns), mean.span(), covariance.span());
          keep("covariance", covariance);
        }
      }
    }
  }

  void layers(std::int64_t rows, std::int64_t columns) {
    const std::int64_t size = rows * columns;
    for (const Activation activation : {Activation::relu, Activation::gelu}) {
      Buffer<float> pre = normals(size), out(backend_, size), bias = normals(columns);
      backend_.bias_activation(activation, bias.span(), pre.matrix(rows, columns),
                               out.matrix(rows, columns));
      keep("activated", out);
      Buffer<float> gradient = normals(size), bias_gradient(backend_, columns);
      backend_.bias_activation_backward(activation, pre.matrix(rows, columns),
                                        out.matrix(rows, columns), gradient.matrix(rows, columns),
                                        bias_gradient.span());
      keep("gradient", gradient);
      keep("bias_gradient", bias_gradient);
    }
    Buffer<float> pre = normals(size), bias = normals(columns), targets = uniforms(size);
    for (const int which : {0, 1, 2}) {
      Buffer<float> gradient(backend_, size), bias_gradient(backend_, columns);
      Buffer<double> loss = zeros<double>(1);
      if (which == 0) {
        backend_.sigmoid_bce(pre.matrix(rows, columns), bias.span(), targets.matrix(rows, columns),
                             1e-7f, gradient.matrix(rows, columns), bias_gradient.span(),
                             loss.data());
      } else {
        backend_.squared_error(which == 1 ? Activation::sigmoid : Activation::linear,
                               pre.matrix(rows, columns), bias.span(),
                               targets.matrix(rows, columns), gradient.matrix(rows, columns),
                               bias_gradient.span(), loss.data());
      }
      keep("loss gradient", gradient);
      keep("loss bias_gradient", bias_gradient);
      keep("loss", loss);
    }
    {
      constexpr std::int64_t units = 5;
      Buffer<float> input = normals(rows * units), weights = normals(units * columns);
      Buffer<float> work(backend_, size), delta(backend_, rows * units);
      Buffer<float> weights_gradient(backend_, units * columns), bias_gradient(backend_, columns);
      Buffer<double> loss = zeros<double>(1);
      backend_.output_layer({}, input.matrix(rows, units), weights.matrix(units, columns),
                            bias.span(), targets.matrix(rows, columns), work.matrix(rows, columns),
                            delta.matrix(rows, units), weights_gradient.matrix(units, columns),
                            bias_gradient.span(), loss.data());
      keep("output input_gradient", delta);
      keep("output weights_gradient", weights_gradient);
      keep("output bias_gradient", bias_gradient);
      keep("output loss", loss);
    }
    Buffer<float> codes = uniforms(size), gradient = normals(size), means(backend_, columns);
    Buffer<double> penalty = zeros<double>(1);
    backend_.l1_penalty(codes.matrix(rows, columns), 0.1f, gradient.matrix(rows, columns),
                        penalty.data());
    backend_.kl_penalty(codes.matrix(rows, columns), 0.05f, 0.2f, gradient.matrix(rows, columns),
                        means.span(), penalty.data());
    Buffer<float> weights = normals(5 * columns), weights_gradient = normals(5 * columns);
    for (const Activation activation : {Activation::sigmoid, Activation::gelu}) {
      backend_.contractive_penalty(activation, weights.matrix(5, columns),
                                   pre.matrix(rows, columns), codes.matrix(rows, columns), 0.1f,
                                   0.5f, gradient.matrix(rows, columns),
                                   weights_gradient.matrix(5, columns), penalty.data());
    }
    backend_.l2_penalty(std::as_const(weights).span(), 0.1f, rows, weights_gradient.span(),
                        penalty.data());
    keep("penalised gradient", gradient);
    keep("penalised weights_gradient", weights_gradient);
    keep("mean_activation", means);
    keep("penalty", penalty);

    Buffer<std::int64_t> steps_done = filled(std::vector<std::int64_t>{3});
    for (const Noise noise : {Noise{Noise::Kind::gaussian, 0.5f}, Noise{Noise::Kind::mask, 0.5f}}) {
      Buffer<float> noisy(backend_, size);
      backend_.corrupt(targets.matrix(rows, columns), noise, {0.0f, 1.0f}, 7, steps_done.data(),
                       noisy.matrix(rows, columns));
      keep("noisy", noisy);
    }

    Buffer<float> p = normals(size), g = normals(size), m = zeros<float>(size),
                  v = zeros<float>(size);
    OptimiserState start;
    start.learning_rate = 1e-3;
    Buffer<OptimiserState> state = filled(std::vector<OptimiserState>{start});
    Buffer<double> sums = filled(std::vector<double>{2.0, 3.0}), figures = zeros<double>(6);
    for (int step = 0; step < 2; ++step) {
      backend_.gradient_norm(std::as_const(g).span(), 1.0f, state.data());
      const StepFigures places{sums.data(), figures.data(), figures.data() + 3, 3};
      backend_.adam(p.span(), std::as_const(g).span(), m.span(), v.span(), size / 2,
                    {.weight_decay = 0.1f}, state.data(), places);
      backend_.sgd(p.span(), std::as_const(g).span(), m.span(), 0.9f, state.data(), places);
    }
    keep("parameters", p);
    keep("second_moment", v);
    keep("figures", figures);
    const OptimiserState after = state.download()[0];
    results_.emplace_back("state",
                          std::vector<double>{static_cast<double>(after.step), after.gradient_norm,
                                              static_cast<double>(after.gradient_scale)});

    Buffer<float> a = normals(rows * 5), b = normals(5 * columns), c(backend_, size);
    backend_.gemm(Transpose::no, Transpose::no, 1.0f, a.matrix(rows, 5), b.matrix(5, columns), 0.0f,
                  c.matrix(rows, columns));
    keep("product", c);
    backend_.sparse_gemm(Transpose::no, a.matrix(rows, 5), {}, b.matrix(5, columns), 0.0f,
                         c.matrix(rows, columns));
    keep("sparse product", c);
    Buffer<float> chain = uniforms(size);
    backend_.fma_chain(0.5f, 0.25f, 3, chain.span());
    keep("chain", chain);
  }

  void embedding() {
    const std::int64_t n = 140;  // more than one tile of 128 points
    const std::int64_t k = 9;
    Buffer<float> x = normals(n * 6);
    Buffer<std::int32_t> index(backend_, n * k), rank(backend_, n * k);
    Buffer<float> distance(backend_, n * k), conditional(backend_, n * k), precision(backend_, n);
    backend_.nearest_neighbours(x.matrix(n, 6), x.matrix(n, 6), true, index.matrix(n, k),
                                distance.matrix(n, k));
    keep("index", index);
    keep("distance", distance);
    backend_.neighbour_ranks(x.matrix(n, 6), std::as_const(index).matrix(n, k), rank.matrix(n, k));
    keep("rank", rank);
    backend_.perplexity_search(distance.matrix(n, k), 3.0f, conditional.matrix(n, k),
                               precision.span());
    keep("conditional", conditional);
    keep("precision", precision);
    Buffer<std::int64_t> offsets(backend_, n + 1);
    Buffer<std::int32_t> columns = zeros<std::int32_t>(2 * n * k);
    Buffer<float> values = zeros<float>(2 * n * k);
    const CsrView affinities{offsets.data(), columns.data(), values.data(), n, 2 * n * k};
    backend_.symmetrise(std::as_const(index).matrix(n, k), conditional.matrix(n, k), affinities);
    keep("offsets", offsets);
    keep("columns", columns);
    keep("affinities", values);

    for (const std::int64_t dimensions : {2, 3})
      iteration(as_const(affinities), dimensions);
    permutation(as_const(affinities));

    std::vector<std::int32_t> labels(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < labels.size(); ++i)
      labels[i] = static_cast<std::int32_t>(i * i % 3);
    Buffer<std::int32_t> label = filled(labels);
    Buffer<double> sums(backend_, n * 3);
    backend_.class_distance_sums(x.matrix(n, 6), std::as_const(label).span(), sums.matrix(n, 3));
    keep("sums", sums);
  }

  /// What an iteration of t-SNE does, recorded; new points in a map; the divergence.
  void iteration(ConstCsrView affinities, std::int64_t dimensions) {
    const std::int64_t n = affinities.rows;
    const std::int64_t size = dimensions * n;
    Buffer<float> y = normals(size), next(backend_, size), force(backend_, size);
    Buffer<float> step = zeros<float>(size);
    Buffer<float> gains = filled(std::vector<float>(static_cast<std::size_t>(size), 1.0f));
    TsneSchedule slow;  // so that steps do not magnify what float32 rounds
    slow.learning_rate = 1.0f;
    Buffer<TsneSchedule> schedule = filled(std::vector<TsneSchedule>{slow});
    Buffer<double> partition(backend_, 1), kl(backend_, 1);
    const auto repulsion = backend_.make_repulsion(RepulsionMethod::exact, n, dimensions);
    const auto advance = [&](Buffer<float>& from, Buffer<float>& to) {
      repulsion->evaluate(from.matrix(n, dimensions), force.matrix(n, dimensions),
                          partition.data());
      backend_.tsne_step(affinities, from.matrix(n, dimensions), force.matrix(n, dimensions),
                         partition.data(), schedule.data(), from.matrix(n, dimensions),
                         to.matrix(n, dimensions), step.matrix(n, dimensions),
                         gains.matrix(n, dimensions));
    };
    advance(y, next);
    keep("force", force);
    keep("partition", partition);
    const auto twice = backend_.record([&] {
      advance(next, y);
      advance(y, next);
    });
    twice->run(2);
    keep("map after five steps", next);
    keep("step", step);
    keep("gains", gains);
    for (const double* given :
         {static_cast<const double*>(nullptr), static_cast<const double*>(partition.data())}) {
      backend_.tsne_kl(affinities, next.matrix(n, dimensions), given, kl.data());
      keep("kl", kl);
    }
    Buffer<float> new_points = normals(7 * dimensions), field(backend_, 7 * dimensions);
    backend_.tsne_field(new_points.matrix(7, dimensions), next.matrix(n, dimensions),
                        field.matrix(7, dimensions));
    keep("field", field);
  }

  void permutation(ConstCsrView affinities) {
    const std::int64_t n = affinities.rows;
    for (const std::int64_t dimensions : {2, 3}) {
      Buffer<float> y = normals(dimensions * n);
      Buffer<std::int32_t> order(backend_, n);
      backend_.locality_order(y.matrix(n, dimensions), order.span());
      keep("order", order);
      Buffer<std::int64_t> offsets(backend_, n + 1);
      Buffer<std::int32_t> columns = zeros<std::int32_t>(affinities.capacity);
      Buffer<float> values = zeros<float>(affinities.capacity);
      backend_.permute_affinities(
          affinities, std::as_const(order).span(),
          {offsets.data(), columns.data(), values.data(), n, affinities.capacity});
      keep("permuted offsets", offsets);
      keep("permuted columns", columns);
      keep("permuted affinities", values);
    }
  }

  /// Enough points that a block goes through several tiles of them.
  void map() {
    const std::int64_t n = 520;
    Buffer<float> y = normals(2 * n), force(backend_, 2 * n);
    Buffer<double> partition(backend_, 1), kl(backend_, 1);
    for (const RepulsionMethod method : {RepulsionMethod::exact, RepulsionMethod::fft}) {
      const auto repulsion = backend_.make_repulsion(method, n, 2);
      repulsion->prepare({{-5.0f, -5.0f, 0.0f}, {5.0f, 5.0f, 0.0f}});
      repulsion->evaluate(y.matrix(n, 2), force.matrix(n, 2), partition.data());
      keep("force of many", force);
      keep("partition of many", partition);
    }
    Buffer<std::int32_t> order(backend_, n);
    backend_.locality_order(y.matrix(n, 2), order.span());
    keep("order of many", order);
    Buffer<float> field(backend_, 2 * n), sources = normals(2 * n);
    backend_.tsne_field(y.matrix(n, 2), sources.matrix(n, 2), field.matrix(n, 2));
    keep("field of many", field);
    std::vector<std::int64_t> offset(static_cast<std::size_t>(n + 1));
    std::vector<std::int32_t> column(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < column.size(); ++i) {
      offset[i + 1] = static_cast<std::int64_t>(i) + 1;
      column[i] = static_cast<std::int32_t>((i + 1) % column.size());
    }
    Buffer<std::int64_t> offsets = filled(offset);
    Buffer<std::int32_t> columns = filled(column);
    Buffer<float> values = filled(std::vector<float>(column.size(), 1.0f / static_cast<float>(n)));
    backend_.tsne_kl({offsets.data(), columns.data(), values.data(), n, n}, y.matrix(n, 2), nullptr,
                     kl.data());
    keep("kl of many", kl);
  }

  /// A row that is too long to be sorted in shared memory.
  void hub() {
    const std::int64_t n = 400;
    std::vector<std::int32_t> all_to_one(static_cast<std::size_t>(n), 0);
    all_to_one[0] = 1;
    all_to_one[1] = static_cast<std::int32_t>(n - 1);
    Buffer<std::int32_t> index = filled(all_to_one);
    Buffer<float> conditional = uniforms(n), values = zeros<float>(2 * n);
    Buffer<std::int64_t> offsets(backend_, n + 1);
    Buffer<std::int32_t> columns = zeros<std::int32_t>(2 * n);
    backend_.symmetrise(std::as_const(index).matrix(n, 1), conditional.matrix(n, 1),
                        {offsets.data(), columns.data(), values.data(), n, 2 * n});
    keep("offsets of a hub", offsets);
    keep("columns of a hub", columns);
    keep("affinities of a hub", values);
  }

  /// What only happens with many references, or with distances that float32 cannot tell apart.
  void neighbours() {
    const auto search = [&](Buffer<float>& queries, Buffer<float>& references, std::int64_t q,
                            std::int64_t r, std::int64_t columns, std::int64_t k) {
      Buffer<std::int32_t> index(backend_, q * k);
      Buffer<float> distance(backend_, q * k);
      backend_.nearest_neighbours(queries.matrix(q, columns), references.matrix(r, columns), false,
                                  index.matrix(q, k), distance.matrix(q, k));
      keep("index of many", index);
      keep("distance of many", distance);
    };
    Buffer<float> queries = normals(2 * 2), references = normals(1700 * 2);
    search(queries, references, 2, 1700, 2, 20);  // the list of candidates overflows and is cut
    search(queries, references, 2, 1024, 2, 20);  // in the last sweep
    Buffer<float> two_tiles = normals(4200 * 2);
    search(queries, two_tiles, 2, 4200, 2, 20);
    Buffer<float> far_queries = normals(3 * 8, 1e-3, 1000.0);
    std::vector<float> two_clusters = random_.normals(200 * 8, 1e-3, 1000.0);
    for (std::size_t i = 0; i < two_clusters.size() / 2; ++i)
      two_clusters[i] -= 2000.0f;
    Buffer<float> far = filled(two_clusters);
    search(far_queries, far, 3, 200, 8, 5);  // not proven by products: scanned again
    Buffer<float> one_query = normals(1 * 2), very_many = normals(2300 * 2);
    search(one_query, very_many, 1, 2300, 2, 1030);  // more than a list holds
    search(one_query, very_many, 1, 2300, 2, 2048);  // two whole passes
    search(one_query, very_many, 1, 2048, 2, 1030);  // whose list overflows in the last round
    Buffer<float> equal = filled(std::vector<float>(1100 * 2, 1.0f));
    search(one_query, equal, 1, 1100, 2, 1024);  // one, over what products do not tell apart

    const std::int64_t n = 70;
    Buffer<std::int32_t> next(backend_, n), rank(backend_, n);
    std::vector<std::int32_t> following(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < following.size(); ++i)
      following[i] = static_cast<std::int32_t>((i + 1) % following.size());
    next = filled(following);
    backend_.neighbour_ranks({equal.data(), n, 0}, std::as_const(next).matrix(n, 1),
                             rank.matrix(n, 1));
    keep("rank in no dimension", rank);
  }

  Backend& backend_;
  parity::Random random_;
  Results results_;
};

class EveryOperation : public testing::TestWithParam<sim::Order> {};

INSTANTIATE_TEST_SUITE_P(In, EveryOperation,
                         testing::Values(sim::Order::forward, sim::Order::reverse,
                                         sim::Order::shuffled));

TEST_P(EveryOperation, EqualsTheCpu) {
  sim::machine().order = GetParam();
  cuda::CudaBackend cuda(0);
  sim::machine().order = sim::Order::forward;
  cpu::CpuBackend cpu(1);
  const Results got = Operations(cuda).run();
  const Results want = Operations(cpu).run();
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t r = 0; r < got.size(); ++r) {
    const auto& [name, values] = got[r];
    ASSERT_EQ(values.size(), want[r].second.size()) << name;
    double largest = 0.0;
    for (const double value : want[r].second)
      largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double expected = want[r].second[i];
      ASSERT_TRUE(std::abs(values[i] - expected) <= 1e-5 * std::abs(expected) + 2e-6 * largest)
          << name << "[" << i << "] is " << values[i] << " and on the CPU " << expected;
    }
  }
}

/// The functions declared with __global__ under kernels/cuda.
std::set<std::string> kernels_of_the_sources() {
  std::set<std::string> names;
  const std::regex declaration(R"(__global__[^;{]*?\b(\w+)\s*\(\s*(?:[A-Za-z]|\)))");
  const std::filesystem::path folder = HOURGLASS_SOURCE_DIRECTORY "/kernels/cuda";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    std::string text{std::istreambuf_iterator<char>(file), {}};
    text = std::regex_replace(text, std::regex("//[^\n]*"), "");
    text = std::regex_replace(text, std::regex(R"(__launch_bounds__\([^)]*\))"), "");
    for (std::sregex_iterator match(text.begin(), text.end(), declaration), end; match != end;
         ++match) {
      names.insert((*match)[1]);
    }
  }
  return names;
}

TEST(Kernels, EveryOneIsRun) {
  cuda::CudaBackend backend(0);
  Operations(backend).run();
  const std::set<std::string> declared = kernels_of_the_sources();
  EXPECT_GE(declared.size(), 30u);
  EXPECT_EQ(sim::kernels_run().size(), declared.size());
  for (const std::string& name : declared)
    EXPECT_TRUE(sim::kernels_run().contains(name)) << name << " is run by no operation";
}

/// What a file says before its first line of code.
std::string opening_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string text;
  for (std::string line; std::getline(file, line) && line.starts_with("//");)
    text += line + "\n";
  return text;
}

TEST(Kernels, FilesOpenWithShapesBytesFlopsAndLaunch) {
  const std::filesystem::path folder = HOURGLASS_SOURCE_DIRECTORY "/kernels/cuda";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.find("\n__global__") == std::string::npos) continue;
    ++files;
    const std::string opening = opening_of(entry.path());
    for (const char* word : {"hapes", "ytes", "FLOP", "aunch"}) {
      EXPECT_NE(opening.find(word), std::string::npos)
          << entry.path().filename() << " does not open with its " << word;
    }
  }
  EXPECT_GE(files, 20);
}

TEST(Kernels, SharedVariablesAreFound) {
  // Every `__shared__` of the sources is at least one variable; templates make more of it.
  EXPECT_GE(sim::shared_variables().size(), 12u);
}

}  // namespace
}  // namespace hourglass
