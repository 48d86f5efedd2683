#include "host/report/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

#include "host/report/html_style.hpp"
#include "host/report/pixels.hpp"
#include "host/report/text.hpp"

namespace hourglass::report {
namespace {

// What a link may point to: nothing that runs, and no scheme but these.
bool is_safe_address(std::string_view address) {
  for (const std::string_view start : {"https://", "http://", "mailto:", "#"})
    if (address.starts_with(start)) return true;
  return address.find(':') == std::string_view::npos && !address.starts_with("//");
}

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\t';
}

std::string inline_html(std::string_view text);

// `mark`text`mark` from `at`: the element and the place after it, or 0.
std::size_t emphasized(std::string_view text, std::size_t at, std::string_view mark,
                       std::string_view element, std::string& html) {
  const std::size_t begin = at + mark.size();
  if (begin >= text.size() || is_space(text[begin])) return 0;
  for (std::size_t end = text.find(mark, begin + 1); end != std::string_view::npos;
       end = text.find(mark, end + 1)) {
    if (is_space(text[end - 1])) continue;
    html += fmt::format("<{0}>{1}</{0}>", element, inline_html(text.substr(begin, end - begin)));
    return end + mark.size();
  }
  return 0;
}

std::size_t linked(std::string_view text, std::size_t at, std::string& html) {
  const std::size_t close = text.find("](", at);
  if (close == std::string_view::npos) return 0;
  const std::size_t end = text.find(')', close);
  if (end == std::string_view::npos) return 0;
  const std::string_view address = text.substr(close + 2, end - close - 2);
  if (address.empty() || !is_safe_address(address)) return 0;
  html += fmt::format("<a href=\"{}\">{}</a>", escape_markup(address),
                      escape_markup(text.substr(at + 1, close - at - 1)));
  return end + 1;
}

std::string inline_html(std::string_view text) {
  std::string html;
  std::string plain;
  const auto flush = [&] {
    html += escape_markup(plain);
    plain.clear();
  };
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\\' && at + 1 < text.size() &&
        std::ispunct(static_cast<unsigned char>(text[at + 1]))) {
      plain += text[at + 1];
      at += 2;
      continue;
    }
    std::string element;
    std::size_t next = 0;
    if (c == '`') {
      if (const std::size_t end = text.find('`', at + 1);
          end != std::string_view::npos && end > at + 1) {
        element = "<code>" + escape_markup(text.substr(at + 1, end - at - 1)) + "</code>";
        next = end + 1;
      }
    } else if (text.substr(at).starts_with("**")) {
      next = emphasized(text, at, "**", "strong", element);
    } else if (c == '*') {
      next = emphasized(text, at, "*", "em", element);
    } else if (c == '[') {
      next = linked(text, at, element);
    }
    if (next == 0) {
      plain += c;
      ++at;
    } else {
      flush();
      html += element;
      at = next;
    }
  }
  flush();
  return html;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

// An SVG as an address: only what an address or a quoted attribute cannot hold is encoded.
std::string svg_data_uri(std::string_view svg) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string uri = "data:image/svg+xml,";
  uri.reserve(svg.size() + svg.size() / 8);
  for (const char c : svg) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_plain = std::isalnum(byte) ||
                          std::string_view("-._~!$'()*+,;=:@/?").find(c) != std::string_view::npos;
    if (is_plain) {
      uri += c;
    } else {
      uri += '%';
      uri += digits[byte >> 4];
      uri += digits[byte & 15];
    }
  }
  return uri;
}

std::string slug(std::string_view text) {
  std::string id;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c))) {
      id += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!id.empty() && id.back() != '-') {
      id += '-';
    }
  }
  while (!id.empty() && id.back() == '-')
    id.pop_back();
  return id.empty() ? "section" : id;
}

const char* align_class(Align align) {
  return align == Align::right ? "r" : align == Align::center ? "c" : "";
}

const char* tone_class(Tone tone) {
  switch (tone) {
    case Tone::plain:
      return "";
    case Tone::strong:
      return "strong";
    case Tone::good:
      return "good";
    case Tone::mixed:
      return "mixed";
    case Tone::bad:
      return "bad";
    case Tone::dim:
      return "dim";
  }
  return "";
}

std::string class_attribute(std::string_view first, std::string_view second = "") {
  if (first.empty() && second.empty()) return "";
  return fmt::format(" class=\"{}{}{}\"", first, first.empty() || second.empty() ? "" : " ",
                     second);
}

class Page {
 public:
  explicit Page(const Report& report) : report_(report) {}

  std::string write() {
    for (const Section& section : report_.sections)
      collect(section);
    html_ += fmt::format(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
        "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n"
        "<a class=\"skip\" href=\"#content\">Skip to the content</a>\n<div class=\"page\">\n",
        escape_markup(report_.language), escape_markup(report_.title), style_sheet);
    html_ += fmt::format("<header>\n<h1>{}</h1>\n", escape_markup(report_.title));
    if (!report_.lead.empty())
      html_ += "<div class=\"lead\">" + markup_to_html(report_.lead) + "</div>\n";
    if (!report_.facts.empty()) {
      html_ += "<dl class=\"facts\">\n";
      for (const auto& [name, value] : report_.facts)
        html_ += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape_markup(name),
                             escape_markup(value));
      html_ += "</dl>\n";
    }
    html_ += "</header>\n";
    if (!report_.sections.empty()) {
      html_ += "<nav aria-labelledby=\"contents\"><div>\n<h2 id=\"contents\">Contents</h2>\n";
      std::size_t next = 0;
      contents(report_.sections, next, 1);
      html_ += "</div></nav>\n";
    }
    html_ += "<main id=\"content\">\n";
    for (const Section& section : report_.sections)
      write(section, 2);
    html_ += "</main>\n";
    if (!report_.footer.empty())
      html_ += "<footer>" + markup_to_html(report_.footer) + "</footer>\n";
    html_ += "</div>\n</body>\n</html>\n";
    return std::move(html_);
  }

  void operator()(const Prose& block) { html_ += markup_to_html(block.markup); }

  void operator()(const FigureBlock& block) {
    if (!block.image) return;
    const RenderedFigure& image = *block.image;
    std::string svg = svg_data_uri(image.svg);
    const bool use_svg =
        image.png.empty() || (!image.svg.empty() && svg.size() <= image.png.size() * 4 / 3);
    // On a narrow screen a wide figure scrolls rather than shrinking its text away.
    html_ += fmt::format(
        "<figure>\n<div class=\"card\"{}><img{} src=\"{}\" width=\"{}\" height=\"{}\" alt=\"{}\" "
        "decoding=\"async\"></div>\n",
        image.width > 640 ? " tabindex=\"0\"" : "", image.width > 640 ? " class=\"wide\"" : "",
        use_svg ? svg : png_data_uri(image.png), image.width, image.height,
        escape_markup(block.alt));
    if (!block.caption.empty())
      html_ += "<figcaption>" + markup_to_html(block.caption) + "</figcaption>\n";
    html_ += "</figure>\n";
  }

  void operator()(const FigureGrid& block) {
    html_ += "<div class=\"grid\">\n";
    for (const FigureBlock& figure : block.figures)
      (*this)(figure);
    html_ += "</div>\n";
  }

  void operator()(const Table& block) {
    ++tables_;
    const std::string label = block.caption.empty()
                                  ? std::string("aria-label=\"Table\"")
                                  : fmt::format("aria-labelledby=\"table:{}\"", tables_);
    html_ +=
        fmt::format("<div class=\"scroll\" role=\"region\" tabindex=\"0\" {}>\n<table>\n", label);
    if (!block.caption.empty())
      html_ += fmt::format("<caption id=\"table:{}\">{}</caption>\n", tables_,
                           escape_markup(block.caption));
    html_ += "<thead><tr>";
    for (const Column& column : block.columns) {
      html_ += fmt::format("<th scope=\"col\"{}>{}", class_attribute(align_class(column.align)),
                           escape_markup(column.header));
      if (!column.unit.empty())
        html_ += "<span class=\"unit\">" + escape_markup(column.unit) + "</span>";
      html_ += "</th>";
    }
    html_ += "</tr></thead>\n<tbody>\n";
    for (const std::vector<Cell>& row : block.rows) {
      html_ += "<tr>";
      for (std::size_t c = 0; c < block.columns.size(); ++c) {
        const Cell cell = c < row.size() ? row[c] : Cell{};
        const std::string classes =
            class_attribute(align_class(block.columns[c].align), tone_class(cell.tone));
        // A name such as sparse-l1 is not to be broken at its hyphen.
        const bool one_word = cell.text.size() <= 24 && cell.text.find('-') != std::string::npos &&
                              cell.text.find(' ') == std::string::npos;
        const std::string text =
            (one_word ? "<span class=\"one\">" : "<span>") + escape_markup(cell.text) + "</span>";
        html_ += c == 0 ? fmt::format("<th scope=\"row\"{}>{}</th>", classes, text)
                        : fmt::format("<td{}>{}</td>", classes, text);
      }
      html_ += "</tr>\n";
    }
    html_ += "</tbody>\n</table>\n</div>\n";
    if (!block.note.empty())
      html_ += "<p class=\"tablenote\">" + inline_html(block.note) + "</p>\n";
  }

  void operator()(const Callout& block) {
    const char* kind = block.kind == Callout::Kind::note      ? "note"
                       : block.kind == Callout::Kind::warning ? "warning"
                                                              : "finding";
    html_ += fmt::format("<aside class=\"{}\">\n", kind);
    if (!block.title.empty()) html_ += "<p class=\"label\">" + inline_html(block.title) + "</p>\n";
    html_ += markup_to_html(block.markup) + "</aside>\n";
  }

  void operator()(const KeyFigures& block) {
    html_ += "<ul class=\"key\">\n";
    for (const KeyFigures::Item& item : block.items)
      html_ += fmt::format("<li><b>{}</b><span>{}</span><small>{}</small></li>\n",
                           escape_markup(item.value), escape_markup(item.label),
                           escape_markup(item.detail));
    html_ += "</ul>\n";
  }

  void operator()(const Listing& block) {
    html_ += "<pre tabindex=\"0\">" + escape_markup(block.text) + "</pre>\n";
  }

 private:
  // Identifiers in the order of the sections, before anything is written: the contents come first.
  void collect(const Section& section) {
    const std::string wanted = slug(section.id.empty() ? section.heading : section.id);
    std::string id = wanted;
    for (int i = 2; !taken_.insert(id).second; ++i)
      id = fmt::format("{}-{}", wanted, i);
    ids_.push_back(id);
    for (const Section& inner : section.sections)
      collect(inner);
  }

  static std::size_t count(const std::vector<Section>& sections) {
    std::size_t total = 0;
    for (const Section& section : sections)
      total += 1 + count(section.sections);
    return total;
  }

  // Two levels: a third would be longer than the page is tall.
  void contents(const std::vector<Section>& sections, std::size_t& next, int level) {
    html_ += "<ol>\n";
    for (const Section& section : sections) {
      html_ +=
          fmt::format("<li><a href=\"#{}\">{}</a>", ids_[next++], escape_markup(section.heading));
      if (!section.sections.empty() && level < 2) {
        html_ += "\n";
        contents(section.sections, next, level + 1);
      } else {
        next += count(section.sections);
      }
      html_ += "</li>\n";
    }
    html_ += "</ol>\n";
  }

  void write(const Section& section, int level) {
    html_ += fmt::format("<section>\n<h{0} id=\"{1}\">{2}</h{0}>\n", std::min(level, 6),
                         ids_[written_++], escape_markup(section.heading));
    for (const Block& block : section.blocks)
      std::visit(*this, block);
    for (const Section& inner : section.sections)
      write(inner, level + 1);
    html_ += "</section>\n";
  }

  const Report& report_;
  std::string html_;
  std::vector<std::string> ids_;
  std::set<std::string> taken_ = {"content", "contents"};
  std::size_t written_ = 0;
  std::size_t tables_ = 0;
};

}  // namespace

std::string markup_to_html(std::string_view markup) {
  std::string html;
  std::string paragraph;
  bool in_list = false;
  const auto end_paragraph = [&] {
    if (!paragraph.empty()) html += "<p>" + inline_html(paragraph) + "</p>\n";
    paragraph.clear();
  };
  std::string item;
  const auto end_item = [&] {
    if (!item.empty()) html += "<li>" + inline_html(item) + "</li>\n";
    item.clear();
  };
  const auto end_list = [&] {
    end_item();
    if (in_list) html += "</ul>\n";
    in_list = false;
  };
  for (std::string_view line : split_lines(markup)) {
    while (!line.empty() && is_space(line.front()))
      line.remove_prefix(1);
    while (!line.empty() && (is_space(line.back()) || line.back() == '\r'))
      line.remove_suffix(1);
    if (line.empty()) {
      end_paragraph();
      end_list();
    } else if (line.starts_with("- ")) {
      end_paragraph();
      end_item();
      if (!in_list) html += "<ul>\n";
      in_list = true;
      item = line.substr(2);
    } else {
      std::string& text = in_list ? item : paragraph;
      if (!text.empty()) text += ' ';
      text += line;
    }
  }
  end_paragraph();
  end_list();
  return html;
}

std::string to_html(const Report& report) {
  return Page(report).write();
}

}  // namespace hourglass::report
