// Pages that stand alone: styles and plots are part of them, nothing is fetched, and without scripts only the sorting
// of tables is missing. Whatever a model's file may contain is escaped.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linnet::cli {

// Text for HTML, attributes in double quotes included. What is no UTF-8, or no character of XML, becomes U+FFFD.
std::string escape_html(std::string_view text);

struct HtmlCell {
  std::string text;
  std::optional<double> number;  // sorts the column; to the right
  bool strong = false;

  HtmlCell(std::string t) : text(std::move(t)) {}  // NOLINT(google-explicit-constructor)
  HtmlCell(const char* t) : text(t) {}             // NOLINT(google-explicit-constructor)
  HtmlCell(std::string t, double n) : text(std::move(t)), number(n) {}
};
using HtmlRow = std::vector<HtmlCell>;

struct BarChart {
  struct Bar {
    std::string label, text;  // on the left, and what the value is told as
    double value = 0;         // below zero and no numbers have no bar; infinity a whole one
    bool strong = false;
  };
  std::string title;
  std::vector<Bar> bars;
};

struct ScatterPlot {
  struct Point {
    double x = 0, y = 0;
    std::string label;    // shown when the pointer is on it
    bool front = false;   // drawn larger
    bool chosen = false;  // with a circle around it
    bool hollow = false;  // an outline
  };
  // Steps join those points, but for the hollow ones, that are lower than all to their left.
  std::string title, x_label, y_label;
  std::vector<Point> points;  // those that are not finite are left out
};

class HtmlPage {
 public:
  explicit HtmlPage(std::string_view title);

  void heading(std::string_view text);
  void paragraph(std::string_view text);
  void preformatted(std::string_view text);
  // Names and what they are.
  void facts(const std::vector<std::pair<std::string, std::string>>& pairs);
  // A click on a column's name sorts by it. A column without any text is left out.
  void table(const std::vector<std::string>& columns, const std::vector<HtmlRow>& rows);
  void bars(const BarChart& chart);
  void scatter(const ScatterPlot& plot);

  std::string finish() &&;

 private:
  void element(std::string_view tag, std::string_view text);

  std::string html_;
  bool sortable_ = false;
};

}  // namespace linnet::cli
