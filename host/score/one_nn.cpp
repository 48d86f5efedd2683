#include "host/score/common.hpp"
#include "hourglass/memory.hpp"
#include "hourglass/scores.hpp"
#include "kernels/buffer.hpp"

namespace hourglass {
namespace {

/// The nearest row of `train` for every row of `test`; the nearest other row where `test` is null.
std::vector<std::int32_t> nearest(Device& device, const Matrix& train, const Matrix* test) {
  std::optional<DataShape> test_shape;
  if (test != nullptr) test_shape = *test;
  one_nn_memory(device.info(), train, test_shape).check(device);
  Backend& backend = device.backend();
  const Range range(backend, "1-nn");
  const Buffer<float> references(backend, std::span<const float>(train.values));
  const ConstMat reference_view = references.matrix(train.rows, train.columns);
  const std::int64_t rows = test != nullptr ? test->rows : train.rows;
  Buffer<std::int32_t> index(backend, rows);
  Buffer<float> distance(backend, rows);
  if (test == nullptr) {
    backend.nearest_neighbours(reference_view, reference_view, true, index.matrix(rows, 1),
                               distance.matrix(rows, 1));
  } else {
    const Buffer<float> queries(backend, std::span<const float>(test->values));
    backend.nearest_neighbours(queries.matrix(rows, test->columns), reference_view, false,
                               index.matrix(rows, 1), distance.matrix(rows, 1));
  }
  return index.download();
}

double share_right(const std::vector<std::int32_t>& index, Labels train_labels,
                   Labels test_labels) {
  std::int64_t right = 0;
  for (std::size_t i = 0; i < index.size(); ++i)
    right += train_labels[static_cast<std::size_t>(index[i])] == test_labels[i];
  return static_cast<double>(right) / static_cast<double>(index.size());
}

}  // namespace

double one_nn_accuracy(Device& device, const Matrix& train, Labels train_labels, const Matrix& test,
                       Labels test_labels) {
  constexpr const char* name = "1-NN accuracy";
  check_train_and_test(name, train, train_labels, test, test_labels);
  return share_right(nearest(device, train, &test), train_labels, test_labels);
}

double one_nn_split_accuracy(Device& device, const Matrix& x, Labels labels) {
  check_labels("1-NN accuracy", x, labels);
  check_rows("1-NN accuracy", x, 2);
  one_nn_split_memory(device.info(), x).check(device);
  const std::int64_t half = x.rows / 2;
  const auto split = static_cast<std::size_t>(half);
  return one_nn_accuracy(device, rows_of(x, 0, half), labels.first(split),
                         rows_of(x, half, x.rows - half), labels.subspan(split));
}

double one_nn_leave_one_out_accuracy(Device& device, const Matrix& x, Labels labels) {
  check_labels("1-NN accuracy", x, labels);
  check_rows("1-NN accuracy", x, 2);
  return share_right(nearest(device, x, nullptr), labels, labels);
}

}  // namespace hourglass
