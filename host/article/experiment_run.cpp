#include "host/article/experiment_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "host/score/neighbourhood.hpp"
#include "hourglass/error.hpp"
#include "hourglass/tsne.hpp"

namespace hourglass::article {
namespace {

// Rows whose codes are held against the inputs: ranks among all pairs of inputs cost 784
// multiplications each.
constexpr std::int64_t trustworthiness_rows = 2500;
constexpr int trustworthiness_neighbours = 12;
// scikit-learn 0.20's t-SNE; its learning rate of 200 multiplies a gradient with the factor 4.
constexpr double tsne_perplexity = 30;
constexpr double tsne_learning_rate = 800;

Matrix take_rows(const Matrix& x, std::span<const std::int64_t> rows) {
  Matrix taken(static_cast<std::int64_t>(rows.size()), x.columns);
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(x.row(rows[i]).begin(), x.columns, taken.row(static_cast<std::int64_t>(i)).begin());
  return taken;
}

/// The first `count` rows.
Matrix first_rows(const Matrix& x, std::int64_t count) {
  Matrix taken(count, x.columns);
  std::copy_n(x.values.begin(), count * x.columns, taken.values.begin());
  return taken;
}

double mean_squared_difference(const Matrix& a, const Matrix& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) {
    const double d = static_cast<double>(a.values[i]) - b.values[i];
    sum += d * d;
  }
  return sum / static_cast<double>(a.values.size());
}

/// Scaled values as pixels from 0 to 1.
Matrix to_pixels(const Scaler& scaler, Matrix scaled, bool bytes) {
  scaler.inverse_transform(scaled.values);
  if (bytes) {
    for (float& value : scaled.values)
      value /= 255.0f;
  }
  return scaled;
}

/// Share of sigmoid outputs whose logit lies where the loss clips it, as far as float32 tells: 1
/// less the clip rounds to 1 - 2^-23.
double share_at_clip(const Matrix& outputs, float clip) {
  const auto clipped = std::count_if(outputs.values.begin(), outputs.values.end(),
                                     [&](float p) { return p <= clip || p >= 1.0f - clip; });
  return static_cast<double>(clipped) / static_cast<double>(outputs.values.size());
}

/// How well the first test codes keep the neighbourhoods of the inputs. Every run of a scaling
/// holds its codes against the same inputs.
double code_trustworthiness(Device& device, ScaledData& data, const Matrix& codes,
                            std::int64_t rows) {
  const auto inputs = [&] { return first_rows(data.test_inputs, rows); };
  if (!RankTable::is_worthwhile(device, rows)) {
    return trustworthiness(device, inputs(), first_rows(codes, rows), trustworthiness_neighbours);
  }
  const RankTable& ranks = data.input_ranks.get([&] { return RankTable(device, inputs()); });
  return ranks.trustworthiness(device, first_rows(codes, rows), trustworthiness_neighbours);
}

void measure_code(Device& device, const Experiment& experiment, ScaledData& data,
                  const Matrix& codes, Figures& figures) {
  const Labels labels = data.test->labels;
  figures["code_one_nn"] = one_nn_split_accuracy(device, codes, labels);
  figures["code_one_nn_leave_one_out"] = one_nn_leave_one_out_accuracy(device, codes, labels);
  figures["code_linear_probe"] = linear_probe_split_accuracy(device, codes, labels);
  figures["code_silhouette"] = silhouette(device, codes, labels).mean;
  figures["code_separation"] = class_separation(codes, labels).mean_ratio;
  const auto has = [&](std::int32_t digit) {
    return std::find(labels.begin(), labels.end(), digit) != labels.end();
  };
  if (has(0) && has(1)) figures["code_one_zero"] = pair_accuracy(device, codes, labels, 1, 0);

  const std::int64_t rows = std::min(codes.rows, trustworthiness_rows);
  if (rows > 2 * trustworthiness_neighbours)
    figures["code_trustworthiness"] = code_trustworthiness(device, data, codes, rows);

  const ActivationFigures activations = activation_figures(codes, experiment.sigmoid_codes());
  figures["negative_share"] = activations.negative_share;
  if (!experiment.is_pca()) {
    figures["mean_activation"] = activations.mean;
    figures["zero_share"] = activations.zero_share;
    figures["dead_units"] = static_cast<double>(activations.dead_units);
  }
}

void measure_map(Device& device, const ScaledData& data, const Matrix& codes, const Matrix& map,
                 Figures& figures) {
  const Labels labels = data.test->labels;
  figures["map_one_nn"] = one_nn_split_accuracy(device, map, labels);
  figures["map_one_nn_leave_one_out"] = one_nn_leave_one_out_accuracy(device, map, labels);
  figures["map_linear_probe"] = linear_probe_split_accuracy(device, map, labels);
  figures["map_silhouette"] = silhouette(device, map, labels).mean;
  const MapFigures kept = neighbourhood_figures(device, codes, map);
  const auto keep = [&](const char* name, const std::optional<double>& value) {
    if (value) figures[name] = *value;
  };
  keep("map_trustworthiness", kept.trustworthiness);
  keep("map_neighbours_10", kept.neighbour_preservation_10);
  keep("map_neighbours_30", kept.neighbour_preservation_30);
  const ClassSeparation classes = class_separation(map, labels);
  if (!(classes.radius > 0)) return;
  figures["map_spread"] = classes.mean_spread / classes.radius;
  figures["map_gap"] = classes.mean_gap / classes.radius;
  if (classes.classes > 8) {
    const auto distance = [&](std::size_t a, std::size_t b) {
      return classes.centroid_distance[a * static_cast<std::size_t>(classes.classes) + b] /
             classes.radius;
    };
    figures["map_spread_8"] = classes.spread[8] / classes.radius;
    figures["map_distance_2_3"] = distance(2, 3);
    figures["map_distance_2_8"] = distance(2, 8);
  }
}

/// A row a unit of the first hidden layer: what it looks for in the image.
Matrix first_layer_filters(const Autoencoder& model) {
  const LayerOffsets layer = layer_offsets(model.spec).front();
  Matrix filters(layer.fan_out, layer.fan_in);
  for (std::int64_t d = 0; d < layer.fan_in; ++d) {
    for (std::int64_t k = 0; k < layer.fan_out; ++k) {
      filters(k, d) =
          model.parameters[static_cast<std::size_t>(layer.weights + d * layer.fan_out + k)];
    }
  }
  return filters;
}

/// What each autoencoder is shown of corrupted digits, whatever it was trained on.
constexpr const char* gaussian = "gaussian:0.5";
constexpr const char* mask = "mask:0.3";

/// Squared errors, in pixels, of the clean digits' reconstructions from noisy ones.
void measure_denoising(Device& device, const Experiment& experiment, const Autoencoder& model,
                       ScaledData& data, ExperimentRun& result) {
  const bool bytes = data.test->is_bytes();
  // The noise is that of scaled values, which the model now takes as they are.
  Autoencoder scaled_model = model;
  scaled_model.scaler.scaling = Scaling::none;
  scaled_model.scaler.offset.assign(static_cast<std::size_t>(model.spec.inputs), 0.0f);
  scaled_model.scaler.factor.assign(static_cast<std::size_t>(model.spec.inputs), 1.0f);
  const auto measure = [&](const std::string& noise, Once<Dataset>& inputs, const char* figure) {
    const Dataset& noisy = inputs.get([&] {
      return Dataset::from_matrix(
          data.test->name,
          corrupted(device, data.test_inputs, parse_noise(noise), data.scaler.scaling, 0));
    });
    const Matrix denoised = to_pixels(data.scaler, scaled_model.reconstruct(device, noisy), bytes);
    result.run.figures[figure] = mean_squared_difference(denoised, data.test_pixels);
    if (name_of(experiment.noise) == noise) {
      const auto rows = sample_rows(*data.test);
      Matrix sample(static_cast<std::int64_t>(rows.size()), noisy.columns);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        RowSource(noisy).read(rows[i], 1, sample.row(static_cast<std::int64_t>(i)).data());
      }
      result.artifacts.noisy = to_pixels(data.scaler, std::move(sample), bytes);
      result.artifacts.denoised = take_rows(denoised, rows);
    }
  };
  measure(gaussian, data.gaussian, "gaussian_error");
  measure(mask, data.mask, "mask_error");
}

/// Figures of the reconstructions of all test digits; those of the sample are kept.
void measure_reconstructions(const ScaledData& data, Matrix scaled, ExperimentRun& result) {
  Figures& figures = result.run.figures;
  figures["squared_error"] = mean_squared_difference(scaled, data.test_inputs);
  const Matrix pixels = to_pixels(data.scaler, std::move(scaled), data.test->is_bytes());
  figures["pixel_squared_error"] = mean_squared_difference(pixels, data.test_pixels);
  result.artifacts.reconstructions = take_rows(pixels, sample_rows(*data.test));
}

Autoencoder train_autoencoder(Device& device, const Experiment& experiment, const ScaledData& data,
                              std::uint64_t seed, const ArticleOptions& options, Run& run) {
  AutoencoderSpec spec;
  spec.inputs = data.train->columns;
  spec.hidden = experiment.hidden;
  spec.code_activation = experiment.code_activation;
  Autoencoder model = Autoencoder::initialise(spec, data.scaler, seed);
  TrainingOptions training;
  training.epochs = options.epochs;
  training.batch = options.batch;
  training.sparsity = experiment.sparsity;
  training.noise = experiment.noise;
  training.contractive = experiment.contractive;
  training.seed = seed;
  if (options.keep_going) {
    training.progress = [&](const TrainingProgress&) { return options.keep_going(); };
  }
  run.history = fit(device, model, *data.train, training, *data.test);
  const EpochFigures& last = run.history.epochs.back();
  run.figures["train_loss"] = last.loss;
  run.figures["train_reconstruction"] = last.reconstruction;
  run.figures["train_penalty"] = last.penalty;
  run.figures["test_loss"] = last.validation_loss;
  run.figures["test_reconstruction"] = last.validation_reconstruction;
  return model;
}

/// Codes and reconstructions of the test digits, clean and noisy.
void apply_autoencoder(Device& device, const Experiment& experiment, const Autoencoder& model,
                       ScaledData& data, ExperimentRun& result) {
  Run& run = result.run;
  result.artifacts.codes = model.encode(device, *data.test);
  result.artifacts.filters = first_layer_filters(model);
  Matrix outputs = model.reconstruct(device, *data.test);
  run.figures["clipped_share"] = share_at_clip(outputs, model.spec.bce_clip);
  measure_reconstructions(data, std::move(outputs), result);
  measure_denoising(device, experiment, model, data, result);
  if (model.spec.hidden.size() == 1) {
    run.figures["jacobian_norm"] = model.jacobian_norm(device, *data.test);
  }
}

/// The components that the experiment takes of all that are fitted.
Pca fit_pca(Device& device, const Experiment& experiment, ScaledData& data) {
  // They do not hang on the seed; only a t-SNE of their codes does.
  Pca pca = data.pca.get([&] {
    return Pca::fit(device, data.scaler.transform(device, *data.train), data.components);
  });
  const auto count = static_cast<std::size_t>(experiment.components);
  pca.components = first_rows(pca.components, experiment.components);
  pca.explained_variance.resize(count);
  pca.explained_ratio.resize(count);
  return pca;
}

void apply_pca(Device& device, const Pca& pca, const ScaledData& data, ExperimentRun& result) {
  result.artifacts.codes = pca.transform(device, data.test_inputs);
  result.artifacts.filters = pca.components;
  double explained = 0;
  for (const double share : pca.explained_ratio)
    explained += share;
  result.run.figures["explained_ratio"] = explained;
  measure_reconstructions(data, pca.inverse_transform(device, result.artifacts.codes), result);
}

void embed(Device& device, const Matrix& codes, std::uint64_t seed, const ArticleOptions& options,
           Run& run) {
  TsneOptions settings;
  settings.start = TsneStart::random;
  settings.perplexity =
      std::min(tsne_perplexity, std::floor(static_cast<double>(codes.rows - 1) / 3));
  settings.learning_rate = tsne_learning_rate;
  settings.iterations = options.tsne_iterations;
  settings.seed = seed;
  if (options.keep_going)
    settings.progress = [&](const TsneProgress&) { return options.keep_going(); };
  TsneResult result = tsne(device, codes, settings);
  run.figures["map_kl"] = result.kl_divergence;
  run.figures["map_span"] = result.span;
  run.figures["map_force_error"] = result.force_error;
  run.map = std::move(result.map);
}

}  // namespace

ScaledData::ScaledData(Device& device, const Dataset& train_rows, const Dataset& test_rows,
                       Scaling scaling, std::span<const Experiment> experiments)
    : train(&train_rows),
      test(&test_rows),
      scaler(Scaler::fit(device, train_rows, scaling)),
      test_inputs(scaler.transform(device, test_rows)),
      test_pixels(to_pixels(scaler, test_inputs, test_rows.is_bytes())) {
  for (const Experiment& experiment : experiments)
    components = std::max(components, experiment.components);
}

std::vector<std::int64_t> sample_rows(const Dataset& test) {
  std::map<std::int32_t, std::int64_t> first;
  for (std::size_t i = 0; i < test.labels.size(); ++i)
    first.emplace(test.labels[i], static_cast<std::int64_t>(i));
  std::vector<std::int64_t> rows;
  for (const auto& [label, row] : first) {
    if (rows.size() < 10) rows.push_back(row);
  }
  return rows;
}

Matrix pixels_of(const Dataset& data, std::span<const std::int64_t> rows) {
  Matrix pixels(static_cast<std::int64_t>(rows.size()), data.columns);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto from = static_cast<std::size_t>(rows[i] * data.columns);
    for (std::int64_t d = 0; d < data.columns; ++d) {
      const std::size_t at = from + static_cast<std::size_t>(d);
      pixels(static_cast<std::int64_t>(i), d) =
          data.is_bytes() ? static_cast<float>(std::get<0>(data.values)[at]) / 255.0f
                          : std::get<1>(data.values)[at];
    }
  }
  return pixels;
}

double cost_of(const Experiment& experiment, const Dataset& train, const Dataset& test,
               const ArticleOptions& options) {
  // Of an iteration for one point of a map, beside a training's multiplications.
  constexpr double tsne_point = 3000;
  const auto rows = static_cast<double>(train.rows);
  const auto inputs = static_cast<double>(train.columns);
  double cost = 0;
  if (experiment.is_pca()) {
    cost = rows * inputs * inputs / 10;
  } else {
    AutoencoderSpec spec;
    spec.inputs = train.columns;
    spec.hidden = experiment.hidden;
    cost = rows * options.epochs * static_cast<double>(spec.parameter_count());
  }
  if (experiment.view == View::tsne)
    cost += static_cast<double>(test.rows) * options.tsne_iterations * tsne_point;
  return cost;
}

ExperimentRun run_experiment(Device& device, const Experiment& experiment, ScaledData& data,
                             std::uint64_t seed, const ArticleOptions& options, PhaseClock& clock) {
  ExperimentRun result;
  Run& run = result.run;
  run.experiment = experiment.id;
  run.scaling = name_of(data.scaler.scaling);
  run.seed = seed;
  const auto time = [&](std::string_view phase, auto&& work) {
    if (options.keep_going && !options.keep_going()) {
      throw Interrupted(fmt::format("article: interrupted before the {} of {}, scaled {}, seed {}",
                                    phase, run.experiment, run.scaling, run.seed));
    }
    return clock.time(phase, run.seconds, work);
  };
  if (experiment.is_pca()) {
    const Pca pca = time("training", [&] { return fit_pca(device, experiment, data); });
    time("codes", [&] { apply_pca(device, pca, data, result); });
  } else {
    const Autoencoder model = time("training", [&] {
      return train_autoencoder(device, experiment, data, seed, options, run);
    });
    time("codes", [&] { apply_autoencoder(device, experiment, model, data, result); });
  }

  const Matrix& codes = result.artifacts.codes;
  if (experiment.view == View::tsne) {
    time("t-SNE", [&] { embed(device, codes, seed, options, run); });
  }
  time("scores", [&] {
    measure_code(device, experiment, data, codes, run.figures);
    if (experiment.view == View::tsne) measure_map(device, data, codes, run.map, run.figures);
  });
  if (experiment.view == View::plane) run.map = codes;
  return result;
}

}  // namespace hourglass::article
