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
