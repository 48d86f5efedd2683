// The article's claims, answered from the figures of the runs by rules that are stated with them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/article/run.hpp"

namespace hourglass::article {

enum class Verdict {
  holds,            ///< in every seed
  does_not_hold,    ///< in no seed
  depends_on_seed,  ///< in some
  not_measured      ///< a figure that the rule needs is missing
};
std::string_view name_of(Verdict verdict);

/// One figure that a verdict rests on.
struct Evidence {
  std::string figure;      ///< see figure_info()
  std::string experiment;  ///< whose
  Statistic value;
};

/// The answer for one scaling and, where the claim can be put to several models, one of them.
struct ClaimAnswer {
  std::string scaling;
  std::string subject;  ///< "sparse-l1 against simple"
  std::vector<Evidence> evidence;
  Verdict verdict = Verdict::not_measured;
  std::string answer;        ///< what to print: the verdict's name, or the answer to a question
  std::size_t agreeing = 0;  ///< seeds in which the claim holds
  std::size_t seeds = 0;     ///< seeds that it was put to
};

struct Claim {
  std::string id;
  std::string statement;  ///< what the article says
  std::string rule;       ///< when it holds in a seed
  std::vector<ClaimAnswer> answers;
};

/// Every claim, with one answer for each scaling and subject among the runs.
std::vector<Claim> judge_claims(std::span<const Run> runs);

}  // namespace hourglass::article
