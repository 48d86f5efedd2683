// gather_rows: scaled batches from bytes and from float32, by index and by range.
#include "tests/oracle/dense.hpp"
#include "tests/oracle/parity.hpp"

namespace hourglass::parity {
namespace {

class GatherRows : public BackendTest {
 protected:
  template <class T>
  void compare(Trial trial, const std::vector<T>& source, std::int64_t source_rows, Shape batch,
               const std::vector<std::int32_t>* index, std::int64_t first_row,
               const std::vector<float>& offset, const std::vector<float>& factor) {
    auto rows = trial.input(source);
    auto picks = trial.input(index != nullptr ? *index : std::vector<std::int32_t>{});
    auto shift = trial.input(offset);
    auto scale = trial.input(factor);
    auto out = trial.output<float>(batch.rows * batch.columns);
    trial.run([&](Backend& backend) {
      backend.gather_rows({rows.data(), sizeof(T) == 1, source_rows, batch.columns},
                          index != nullptr ? picks.data() : nullptr, first_row, shift.span(),
                          scale.span(), out.matrix(batch.rows, batch.columns));
    });
    const oracle::Matrix64 wide(source_rows, batch.columns, source);
    const oracle::Matrix64 want =
        oracle::gather_rows(wide, index, first_row, widen(offset), widen(factor), batch.rows);
    // One rounding of the difference and one of the product; a fused or reordered form differs by
    // as much as |offset * factor| * 2^-23.
    oracle::Matrix64 scale_of(batch.rows, batch.columns);
    for (std::int64_t i = 0; i < batch.rows; ++i) {
      for (std::int64_t d = 0; d < batch.columns; ++d) {
        scale_of(i, d) = std::abs(double{offset[d]} * double{factor[d]});
      }
    }
    trial.expect_close("out", out, want,
                       {.absolute = 1.2e-7, .relative = 3e-7, .scale = &scale_of});
  }
};
HOURGLASS_FOR_EVERY_BACKEND(GatherRows);

TEST_P(GatherRows, MatchesTheOracle) {
  std::uint64_t seed = 0;
  for (const Shape shape : edge_shapes(emulated())) {
    for (const std::int64_t skew : {0, 1}) {
      Random random(++seed);
      const std::int64_t source_rows = shape.rows + 7;
      const std::vector<float> offset = random.normals(shape.columns, 50.0);
      const std::vector<float> factor = random.normals(shape.columns, 0.1);
      std::vector<std::int32_t> index;
      for (std::int64_t b = 0; b < shape.rows; ++b) {
        index.push_back(static_cast<std::int32_t>(random.below(source_rows)));  // repeats some rows
      }
      if (shape.rows > 0) index.front() = static_cast<std::int32_t>(source_rows - 1);
      std::vector<std::uint8_t> bytes;
      for (std::int64_t i = 0; i < source_rows * shape.columns; ++i) {
        bytes.push_back(static_cast<std::uint8_t>(random.below(256)));
      }
      const std::vector<float> floats = random.normals(source_rows * shape.columns, 80.0);
      for (const bool indexed : {false, true}) {
        SCOPED_TRACE(indexed ? "by index" : "by range");
        const auto* picks = indexed ? &index : nullptr;
        Trial of_bytes = trial(seed, shape);
        of_bytes.set_skew(skew);
        compare(of_bytes, bytes, source_rows, shape, picks, 7, offset, factor);
        Trial of_floats = trial(seed, shape);
        of_floats.set_skew(skew);
        compare(of_floats, floats, source_rows, shape, picks, 7, offset, factor);
      }
    }
  }
}

TEST_P(GatherRows, ScalesEveryByteToTheUnitInterval) {
  std::vector<std::uint8_t> bytes;
  for (int value = 0; value < 256; ++value)
    bytes.push_back(static_cast<std::uint8_t>(value));
  Trial trial = this->trial(0, Shape{1, 256});
  auto source = trial.input(bytes);
  auto offset = trial.input(std::vector<float>(256, 0.0f));
  auto factor = trial.input(std::vector<float>(256, 1.0f / 255.0f));
  auto out = trial.output<float>(256);
  trial.run([&](Backend& backend) {
    backend.gather_rows({source.data(), true, 1, 256}, nullptr, 0, offset.span(), factor.span(),
                        out.matrix(1, 256));
  });
  const std::vector<float> got = out.values();
  EXPECT_EQ(got.front(), 0.0f);
  EXPECT_EQ(got.back(), 1.0f);
  for (int value = 0; value < 256; ++value) {
    EXPECT_NEAR(got[value], value / 255.0, 1e-7) << trial.context();
  }
}

class GatherBatch : public GatherRows {
 protected:
  template <class T>
  void compare_batches(std::uint64_t seed, const std::vector<T>& source, std::int64_t source_rows,
                       std::int64_t columns, std::int64_t batch) {
    Random random(seed);
    const std::vector<std::int32_t> order = oracle::shuffle_rows(seed, 0, source_rows);
    const std::vector<float> offset = random.normals(columns), factor = random.normals(columns);
    const std::int64_t batches = (source_rows + batch - 1) / batch;
    for (const std::int64_t step : {std::int64_t{0}, batches - 1, batches, 7 * batches + 1,
                                    (std::int64_t{1} << 33) * batches + batches - 1}) {
      const std::int64_t first = step % batches * batch;
      const std::int64_t rows = std::min(batch, source_rows - first);
      Trial trial = this->trial(seed, Shape{rows, columns});
      trial.set_skew(any_skew(seed, 2));
      auto from = trial.input(source);
      auto whole_order = trial.input(order);
      auto shift = trial.input(offset);
      auto scale = trial.input(factor);
      auto out = trial.output<float>(rows * columns);
      trial.set_skew(0);
      auto steps_done = trial.input(std::vector<std::int64_t>{step});
      trial.run([&](Backend& backend) {
        backend.gather_batch({from.data(), sizeof(T) == 1, source_rows, columns},
                             whole_order.span(), batch, steps_done.data(), shift.span(),
                             scale.span(), out.matrix(rows, columns));
      });
      // In every bit what gather_rows makes of those rows of the order.
      const Buffer<T> same(backend(), std::span<const T>(source));
      const Buffer<std::int32_t> index(backend(), std::span<const std::int32_t>(order));
      const Buffer<float> o(backend(), std::span<const float>(offset));
      const Buffer<float> f(backend(), std::span<const float>(factor));
      Buffer<float> want(backend(), rows * columns);
      backend().gather_rows({same.data(), sizeof(T) == 1, source_rows, columns},
                            index.data() + first, 0, o.span(), f.span(),
                            want.matrix(rows, columns));
      EXPECT_EQ(out.values(), want.download()) << trial.context() << ", step " << step;
    }
  }
};
HOURGLASS_FOR_EVERY_BACKEND(GatherBatch);

TEST_P(GatherBatch, TakesTheBatchWhoseTurnItIs) {
  std::uint64_t seed = 100;
  for (const auto& [rows, columns, batch] :
       {std::tuple{70, 36, 16}, {70, 33, 16}, {64, 4, 32}, {33, 7, 33}, {5, 1, 1}}) {
    Random random(++seed);
    compare_batches(seed, random.normals(rows * columns), rows, columns, batch);
    std::vector<std::uint8_t> bytes;
    for (std::int64_t i = 0; i < rows * columns; ++i)
      bytes.push_back(static_cast<std::uint8_t>(random.below(256)));
    compare_batches(seed, bytes, rows, columns, batch);
  }
}

TEST_P(GatherBatch, FollowsTheStepsOfARecordedSequence) {
  // Two columns, the row's number in both; the step is what sgd counts.
  constexpr std::int64_t rows = 10, batch = 3;
  std::vector<float> values;
  std::vector<std::int32_t> backwards;
  for (std::int64_t i = 0; i < rows; ++i) {
    values.insert(values.end(), 2, static_cast<float>(i));
    backwards.push_back(static_cast<std::int32_t>(rows - 1 - i));
  }
  const Buffer<float> source(backend(), std::span<const float>(values));
  const Buffer<std::int32_t> order(backend(), std::span<const std::int32_t>(backwards));
  const Buffer<float> offset(backend(), std::vector<float>{0.0f, 0.0f});
  const Buffer<float> factor(backend(), std::vector<float>{1.0f, 2.0f});
  Buffer<OptimiserState> state(backend(), std::vector<OptimiserState>{{}});
  Buffer<float> out(backend(), batch * 2);
  const auto operations = [&] {
    backend().gather_batch({source.data(), false, rows, 2}, order.span(), batch,
                           &state.data()->step, offset.span(), factor.span(), out.matrix(batch, 2));
    backend().sgd({}, {}, {}, 0.0f, state.data(), {});
  };
  operations();
  EXPECT_EQ(out.download(), (std::vector<float>{9, 18, 8, 16, 7, 14}));
  const std::unique_ptr<Sequence> sequence = backend().record(operations);
  sequence->run(2);
  EXPECT_EQ(out.download(), (std::vector<float>{3, 6, 2, 4, 1, 2}));
}

TEST_P(GatherBatch, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  Buffer<std::int32_t> order(backend(), 8);
  Buffer<std::int64_t> step(backend(), 1);
  order.zero();
  step.zero();
  memory.zero();
  const FeatureView source{memory.data(), false, 4, 3};
  const auto gather = [&](std::int64_t rows_ordered, std::int64_t batch, std::int64_t rows,
                          std::int64_t columns, const std::int64_t* number) {
    backend().gather_batch(
        source, std::as_const(order).span().first(static_cast<std::size_t>(rows_ordered)), batch,
        number, std::as_const(memory).span().subspan(12, 3),
        std::as_const(memory).span().subspan(16, 3), {memory.data() + 20, rows, columns});
  };
  expect_refused("gather_batch", [&] { gather(3, 2, 2, 3, step.data()); });
  expect_refused("gather_batch", [&] { gather(4, 0, 0, 3, step.data()); });
  expect_refused("gather_batch", [&] { gather(4, 2, 3, 3, step.data()); });
  expect_refused("gather_batch", [&] { gather(4, 2, 2, 4, step.data()); });
  expect_refused("gather_batch", [&] { gather(4, 2, 2, 3, nullptr); });
  gather(4, 2, 2, 3, step.data());
}

TEST_P(GatherRows, RefusesShapesThatDoNotFit) {
  Buffer<float> memory(backend(), 64);
  const FeatureView source{memory.data(), false, 4, 3};
  const auto gather = [&](std::int64_t offsets, std::int64_t factors, std::int64_t columns) {
    backend().gather_rows(source, nullptr, 0, memory.span(12, offsets), memory.span(16, factors),
                          {memory.data() + 20, 2, columns});
  };
  expect_refused("gather_rows", [&] { gather(3, 3, 4); });
  expect_refused("gather_rows", [&] { gather(2, 3, 3); });
  expect_refused("gather_rows", [&] { gather(3, 2, 3); });
  gather(3, 3, 3);
}

}  // namespace
}  // namespace hourglass::parity
