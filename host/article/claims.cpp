#include "host/article/claims.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>

namespace hourglass::article {
namespace {

// "Almost completely separated": of 100 held-out ones and zeros a straight line misses one at most.
constexpr double almost_complete = 0.99;
// "Look alike": what a reader of two maps could hardly see.
constexpr double alike_accuracy = 0.02;
constexpr double alike_silhouette = 0.05;
constexpr double alike_kl = 0.05;  // of the other map's

std::optional<double> find(const Run& run, std::string_view figure) {
  const auto found = run.figures.find(figure);
  if (found == run.figures.end() || !std::isfinite(found->second)) return std::nullopt;
  return found->second;
}

/// One seed's runs of the two sides of a claim; `other` is null where the claim has one side.
struct Sides {
  const Run* subject = nullptr;
  const Run* other = nullptr;
};

/// Whether the claim holds in one seed; empty where a figure is missing.
using Test = std::function<std::optional<bool>(const Sides&)>;

/// A figure of the subject that is larger, or smaller, than the other side's.
struct Direction {
  std::string_view figure;
  bool larger = true;
};

std::optional<bool> better(const Sides& sides, const Direction& direction) {
  const auto a = find(*sides.subject, direction.figure);
  const auto b = find(*sides.other, direction.figure);
  if (!a || !b) return std::nullopt;
  return direction.larger ? *a > *b : *a < *b;
}

Test all_of(std::vector<Direction> directions) {
  return [directions = std::move(directions)](const Sides& sides) -> std::optional<bool> {
    bool holds = true;
    for (const Direction& direction : directions) {
      const auto one = better(sides, direction);
      if (!one) return std::nullopt;
      holds = holds && *one;
    }
    return holds;
  };
}

std::vector<std::string> scalings_of(std::span<const Run> runs) {
  std::vector<std::string> scalings;
  for (const Run& run : runs) {
    if (std::find(scalings.begin(), scalings.end(), run.scaling) == scalings.end())
      scalings.push_back(run.scaling);
  }
  return scalings;
}

/// Pairs of runs with the same seed.
std::vector<Sides> pair_runs(std::span<const Run> runs, std::string_view scaling,
                             std::string_view subject, std::string_view other) {
  std::vector<Sides> pairs;
  const std::vector<const Run*> others = runs_of(runs, other, scaling);
  for (const Run* run : runs_of(runs, subject, scaling)) {
    if (other.empty()) {
      pairs.push_back({run, nullptr});
      continue;
    }
    for (const Run* candidate : others) {
      if (candidate->seed == run->seed) pairs.push_back({run, candidate});
    }
  }
  return pairs;
}

std::vector<Evidence> gather(const std::vector<Sides>& pairs,
                             const std::vector<std::string_view>& figures) {
  std::vector<Evidence> evidence;
  const auto add = [&](std::string_view figure, const Run* Sides::*side) {
    std::vector<double> values;
    for (const Sides& pair : pairs) {
      if (pair.*side == nullptr) continue;
      if (const auto value = find(*(pair.*side), figure)) values.push_back(*value);
    }
    if (!values.empty()) {
      evidence.push_back(
          {std::string(figure), (pairs.front().*side)->experiment, statistic(values)});
    }
  };
  for (const std::string_view figure : figures) {
    add(figure, &Sides::subject);
    add(figure, &Sides::other);
  }
  return evidence;
}

ClaimAnswer judge(const std::vector<Sides>& pairs, const Test& test,
                  const std::vector<std::string_view>& figures) {
  ClaimAnswer answer;
  answer.evidence = gather(pairs, figures);
  for (const Sides& pair : pairs) {
    const std::optional<bool> holds = test(pair);
    if (!holds) continue;
    ++answer.seeds;
    answer.agreeing += *holds;
  }
  if (answer.seeds == 0) {
    answer.verdict = Verdict::not_measured;
  } else if (answer.agreeing == answer.seeds) {
    answer.verdict = Verdict::holds;
  } else if (answer.agreeing == 0) {
    answer.verdict = Verdict::does_not_hold;
  } else {
    answer.verdict = Verdict::depends_on_seed;
  }
  answer.answer = name_of(answer.verdict);
  return answer;
}

std::string against(std::string_view subject, std::string_view other) {
  return other.empty() ? std::string(subject) : fmt::format("{} against {}", subject, other);
}

/// What a claim is put to: a model, and the one that it is compared with.
struct Subject {
  std::string_view experiment;
  std::string_view other;
};
const std::vector<Subject> sparse_against_simple = {{"sparse-l1", "simple"},
                                                    {"sparse-kl", "simple"}};

Claim put(std::span<const Run> runs, std::string id, std::string statement, std::string rule,
          const std::vector<Subject>& subjects, const Test& test,
          const std::vector<std::string_view>& figures) {
  Claim claim{std::move(id), std::move(statement), std::move(rule), {}};
  for (const std::string& scaling : scalings_of(runs)) {
    for (const Subject& subject : subjects) {
      const auto pairs = pair_runs(runs, scaling, subject.experiment, subject.other);
      if (pairs.empty()) continue;
      ClaimAnswer answer = judge(pairs, test, figures);
      answer.scaling = scaling;
      answer.subject = against(subject.experiment, subject.other);
      claim.answers.push_back(std::move(answer));
    }
  }
  return claim;
}

std::optional<bool> looks_alike(const Sides& sides) {
  const auto difference = [&](std::string_view figure) -> std::optional<double> {
    const auto a = find(*sides.subject, figure);
    const auto b = find(*sides.other, figure);
    if (!a || !b) return std::nullopt;
    return std::abs(*a - *b);
  };
  const auto accuracy = difference("map_one_nn");
  const auto silhouette = difference("map_silhouette");
  const auto kl = difference("map_kl");
  if (!accuracy || !silhouette || !kl) return std::nullopt;
  return *accuracy <= alike_accuracy && *silhouette <= alike_silhouette &&
         *kl <= alike_kl * *find(*sides.other, "map_kl");
}

/// Which of two codes is better: by the figures that favour one of them in every seed.
Claim which_is_better(std::span<const Run> runs) {
  static const std::vector<Direction> directions = {
      {"test_reconstruction", false}, {"code_one_nn_leave_one_out", true},
      {"code_linear_probe", true},    {"map_one_nn", true},
      {"map_trustworthiness", true},  {"map_silhouette", true},
  };
  Claim claim{"better",
              "Which of the two, sparse or simple, is better for a low-dimensional "
              "representation?",
              "A figure counts for the code that is better by it in every seed. The code for which "
              "more figures count is the better one; with as many for each, neither is. Figures: "
              "test reconstruction (lower), code 1-NN and linear probe, map 1-NN, trustworthiness "
              "and silhouette (higher).",
              {}};
  std::vector<std::string_view> figures;
  for (const Direction& direction : directions)
    figures.push_back(direction.figure);
  for (const std::string& scaling : scalings_of(runs)) {
    for (const Subject& subject : sparse_against_simple) {
      const auto pairs = pair_runs(runs, scaling, subject.experiment, subject.other);
      if (pairs.empty()) continue;
      ClaimAnswer answer;
      answer.scaling = scaling;
      answer.subject = against(subject.experiment, subject.other);
      answer.evidence = gather(pairs, figures);
      answer.seeds = pairs.size();
      int for_subject = 0;
      int for_other = 0;
      int measured = 0;
      for (const Direction& direction : directions) {
        const ClaimAnswer forward = judge(pairs, all_of({direction}), {});
        const ClaimAnswer backward =
            judge(pairs, all_of({{direction.figure, !direction.larger}}), {});
        if (forward.verdict == Verdict::not_measured) continue;
        ++measured;
        for_subject += forward.verdict == Verdict::holds;
        for_other += backward.verdict == Verdict::holds;
      }
      const auto of = [&](std::string_view winner, int count) {
        return fmt::format("{}, by {} of {} figures", winner, count, measured);
      };
      if (measured == 0) {
        answer.answer = name_of(Verdict::not_measured);
      } else if (for_subject > for_other) {
        answer.verdict = Verdict::holds;
        answer.answer = of(subject.experiment, for_subject);
      } else if (for_other > for_subject) {
        answer.verdict = Verdict::does_not_hold;
        answer.answer = of(subject.other, for_other);
      } else {
        answer.verdict = Verdict::depends_on_seed;
        answer.answer = fmt::format("neither, {} of {} figures each", for_subject, measured);
      }
      claim.answers.push_back(std::move(answer));
    }
  }
  return claim;
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::holds:
      return "holds";
    case Verdict::does_not_hold:
      return "does not hold";
    case Verdict::depends_on_seed:
      return "depends on the seed";
    case Verdict::not_measured:
      break;
  }
  return "not measured";
}

std::vector<Claim> judge_claims(std::span<const Run> runs) {
  std::vector<Claim> claims;
  claims.push_back(put(
      runs, "deeper",
      "The deeper autoencoder separates the digits better than the shallow one in "
      "two dimensions.",
      "Code 1-NN, linear probe and class separation of deep-2d are all higher than shallow-2d's.",
      {{"deep-2d", "shallow-2d"}},
      all_of({{"code_one_nn", true}, {"code_linear_probe", true}, {"code_separation", true}}),
      {"code_one_nn", "code_linear_probe", "code_separation"}));
  claims.push_back(put(
      runs, "one-zero", "Digits 1 and 0 are almost completely separated by the deeper one.",
      fmt::format("A straight line in deep-2d's plane tells at least {:.0f} % of the held-out ones "
                  "and zeros apart.",
                  100 * almost_complete),
      {{"deep-2d", ""}},
      [](const Sides& sides) -> std::optional<bool> {
        const auto accuracy = find(*sides.subject, "code_one_zero");
        if (!accuracy) return std::nullopt;
        return *accuracy >= almost_complete;
      },
      {"code_one_zero"}));
  claims.push_back(put(runs, "no-negative-axis", "A rectified code has no negative axis.",
                       "No activation of deep-2d's code is below 0.", {{"deep-2d", ""}},
                       [](const Sides& sides) -> std::optional<bool> {
                         const auto share = find(*sides.subject, "negative_share");
                         if (!share) return std::nullopt;
                         return *share == 0;
                       },
                       {"negative_share", "zero_share", "dead_units"}));
  claims.push_back(put(
      runs, "alike", "The maps of the sparse and of the simple code look alike.",
      fmt::format("Map 1-NN differs by at most {:.0f} points, map silhouette by at most {} and map "
                  "KL by at most {:.0f} %. The share of common neighbours is shown beside what two "
                  "seeds of the simple code share: it decides nothing, since no eye sees it.",
                  100 * alike_accuracy, alike_silhouette, 100 * alike_kl),
      sparse_against_simple, looks_alike,
      {"map_one_nn", "map_silhouette", "map_kl", "shared_with_simple", "shared_between_seeds"}));
  claims.push_back(put(runs, "compact", "The clusters of the sparse code are more compact.",
                       "Cluster width, over the map's radius, is smaller.", sparse_against_simple,
                       all_of({{"map_spread", false}}), {"map_spread"}));
  claims.push_back(put(runs, "gaps", "The gaps between them are slightly larger.",
                       "The gap, over the map's radius, is larger.", sparse_against_simple,
                       all_of({{"map_gap", true}}), {"map_gap"}));
  claims.push_back(put(runs, "two", "2 is further from 3 and from 8.",
                       "Both distances of the centroids, over the map's radius, are larger.",
                       sparse_against_simple,
                       all_of({{"map_distance_2_3", true}, {"map_distance_2_8", true}}),
                       {"map_distance_2_3", "map_distance_2_8"}));
  claims.push_back(put(runs, "eight", "8 is less dispersed.",
                       "The cluster width of digit 8, over the map's radius, is smaller.",
                       sparse_against_simple, all_of({{"map_spread_8", false}}), {"map_spread_8"}));
  claims.push_back(which_is_better(runs));
  return claims;
}

}  // namespace hourglass::article
