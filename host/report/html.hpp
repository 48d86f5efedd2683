// One self-contained report page from a plain description: no script, no font, no image comes from
// elsewhere.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "host/report/figure.hpp"
#include "host/report/table.hpp"

namespace hourglass::report {

// Text fields called `markup` know: **strong**, *emphasis*, `code`, [text](https://... or
// #section), a backslash before a sign that is meant as itself, an empty line between paragraphs,
// and lines that begin with "- " as a list. Everything else is shown as it is; no HTML passes.

struct Prose {
  std::string markup;
};

struct FigureBlock {
  std::shared_ptr<const RenderedFigure> image;
  std::string alt;      ///< what the picture shows, for whoever does not see it
  std::string caption;  ///< markup
};

/// Figures side by side where the page is wide enough.
struct FigureGrid {
  std::vector<FigureBlock> figures;
};

struct Callout {
  enum class Kind { note, warning, finding };
  Kind kind = Kind::note;
  std::string title;
  std::string markup;
};

/// A handful of large figures: {"0.951", "1-NN accuracy", "codes of 784-32-784"}.
struct KeyFigures {
  struct Item {
    std::string value;
    std::string label;
    std::string detail;
  };
  std::vector<Item> items;
};

/// Preformatted text: a command, a listing.
struct Listing {
  std::string text;
};

using Block = std::variant<Prose, FigureBlock, FigureGrid, Table, Callout, KeyFigures, Listing>;

struct Section {
  std::string id;  ///< of its link; empty: made from the heading. Made unique where it is taken.
  std::string heading;
  std::vector<Block> blocks;
  std::vector<Section> sections;
};

struct Report {
  std::string title;
  std::string lead;  ///< markup, under the title
  /// What the run was: "device", "seeds", ...
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<Section> sections;
  std::string footer;  ///< markup
  std::string language = "en";
};

/// The markup of one or more paragraphs as HTML.
std::string markup_to_html(std::string_view markup);

/// The page. A figure is embedded as SVG or PNG, whichever is smaller. The same report gives the
/// same bytes.
std::string to_html(const Report& report);

}  // namespace hourglass::report
