#include "html.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/unicode.h"

namespace linnet::cli {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --text: #1c2126; --soft: #5c6670; --line: #d8dde2; --back: #ffffff; --mark: #0b63b6; --bar: #9db8d2; --other: #a0a8b0; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ec; --soft: #9aa5b0; --line: #3a424a; --back: #14181c; --mark: #6cb4ff; --bar: #3f5f80; --other: #6a747e; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 2rem auto; padding: 0 1rem; max-width: 72rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p { max-width: 46rem; } pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .6rem .8rem; border: 1px solid var(--line); border-radius: 4px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td:first-child { min-width: 20rem; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; position: sticky; top: 0; background: var(--back); white-space: nowrap; cursor: pointer; }
th.n, td.n { text-align: right; } td.n { white-space: nowrap; } td.s { font-weight: 600; }
svg { width: 100%; height: auto; max-width: 60rem; font: 12px system-ui, sans-serif; }
svg text { fill: var(--text); } svg .soft { fill: var(--soft); }
svg .line { stroke: var(--line); } svg .bar { fill: var(--bar); } svg .mark { fill: var(--mark); }
svg .front { fill: none; stroke: var(--mark); stroke-width: 1.5; } svg .other { fill: var(--other); }
svg .hollow { fill: none; stroke: var(--other); } svg .chosen { fill: none; stroke: var(--mark); stroke-width: 2; }
)";

constexpr const char* kSort = R"(
for (const head of document.querySelectorAll('th')) head.onclick = () => {
  const body = head.closest('table').tBodies[0], at = head.cellIndex, down = head.dataset.down !== '1';
  head.dataset.down = down ? '1' : '0';
  const key = row => { const c = row.cells[at]; return c.dataset.v === undefined ? c.textContent : Number(c.dataset.v); };
  const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === 'number' ? 1 : -1;
  for (const row of [...body.rows].sort((a, b) => (down ? -1 : 1) * order(key(a), key(b)))) body.append(row);
};
)";

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string shortened(std::string_view text, size_t most) {
  std::string out;
  for (size_t n = 0; !text.empty() && n < most; ++n) {
    const char32_t c = next_code_point(text);
    append_utf8(out, c == kInvalidCodePoint ? 0xfffd : c);
  }
  return text.empty() ? out : out + "…";
}

// An <svg> element of this size in its own units.
std::string open_svg(const std::string& title, double width, double height) {
  return "<svg role=\"img\" viewBox=\"0 0 " + number(width) + ' ' + number(height) + "\"><title>" + escape_html(title) +
         "</title>\n";
}

std::string text_at(double x, double y, std::string_view text, std::string_view more = {}) {
  return "<text x=\"" + number(x) + "\" y=\"" + number(y) + '"' + std::string(more) + '>' + escape_html(text) +
         "</text>\n";
}

// A round step, of which about `count` fit into the width.
double tick_step(double width, double count) {
  const double rough = width / count, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough) return factor * power;
  return 10 * power;
}

// An axis of a plot: numbers from least to greatest on pixels from begin to end.
struct Axis {
  double least, greatest, begin, end, step;

  Axis(double low, double high, double from, double to, double ticks) : begin(from), end(to) {
    if (!(high > low)) {
      const double around = low == 0 ? 1 : std::fabs(low) * 0.1;
      low -= around;
      high += around;
    }
    const double margin = (high - low) * 0.05;
    least = low - margin;
    greatest = high + margin;
    step = tick_step(greatest - least, ticks);
  }
  double at(double value) const { return begin + (value - least) / (greatest - least) * (end - begin); }
  std::vector<double> ticks() const {
    std::vector<double> out;
    for (double i = std::ceil(least / step); i * step <= greatest && out.size() < 100; ++i) out.push_back(i * step);
    return out;
  }
};

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const char32_t c = next_code_point(text);
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: {
        const bool control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
        append_utf8(out, c == kInvalidCodePoint || control || (c & 0xfffe) == 0xfffe ? 0xfffd : c);
      }
    }
  }
  return out;
}

HtmlPage::HtmlPage(std::string_view title) {
  const std::string text = escape_html(title);
  html_ =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<title>" +
      text + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<h1>" + text + "</h1>\n";
}

void HtmlPage::element(std::string_view tag, std::string_view text) {
  html_ += '<';
  html_ += tag;
  html_ += '>' + escape_html(text) + "</";
  html_ += tag;
  html_ += ">\n";
}

void HtmlPage::heading(std::string_view text) { element("h2", text); }
void HtmlPage::paragraph(std::string_view text) { element("p", text); }
void HtmlPage::preformatted(std::string_view text) { element("pre", text); }

void HtmlPage::facts(const std::vector<std::pair<std::string, std::string>>& pairs) {
  html_ += "<dl>\n";
  for (const auto& [name, text] : pairs) {
    element("dt", name);
    element("dd", text);
  }
  html_ += "</dl>\n";
}

void HtmlPage::table(const std::vector<std::string>& columns, const std::vector<HtmlRow>& rows) {
  sortable_ = true;
  const auto any = [&](size_t column, auto&& of) {
    return std::any_of(rows.begin(), rows.end(), [&](const HtmlRow& row) { return of(row[column]); });
  };
  std::vector<size_t> shown;
  html_ += "<div class=\"wide\"><table>\n<thead><tr>";
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!any(i, [](const HtmlCell& cell) { return !cell.text.empty(); })) continue;
    shown.push_back(i);
    const bool numbers = any(i, [](const HtmlCell& cell) { return cell.number.has_value(); });
    html_ += (numbers ? "<th class=\"n\">" : "<th>") + escape_html(columns[i]) + "</th>";
  }
  html_ += "</tr></thead>\n<tbody>\n";
  for (const HtmlRow& row : rows) {
    html_ += "<tr>";
    for (const size_t i : shown) {
      const HtmlCell& cell = row[i];
      const char* const style = cell.number ? (cell.strong ? "n s" : "n") : cell.strong ? "s" : nullptr;
      html_ += "<td";
      if (style) html_ += std::string(" class=\"") + style + '"';
      if (cell.number) {
        const double v = *cell.number;
        html_ += " data-v=\"" + (std::isinf(v) ? (v < 0 ? "-Infinity" : "Infinity") : number(v)) + '"';
      }
      html_ += '>' + escape_html(cell.text) + "</td>";
    }
    html_ += "</tr>\n";
  }
  html_ += "</tbody>\n</table></div>\n";
}

void HtmlPage::bars(const BarChart& chart) {
  constexpr double kWidth = 900, kRow = 20, kLabels = 400, kBars = 360;
  constexpr size_t kLetters = 58;
  double greatest = 0;
  for (const BarChart::Bar& bar : chart.bars)
    if (std::isfinite(bar.value)) greatest = std::max(greatest, bar.value);
  html_ += open_svg(chart.title, kWidth, kRow * (static_cast<double>(chart.bars.size()) + 1) + 8);
  html_ += text_at(0, 14, chart.title, " class=\"soft\"");
  double y = kRow + 4;
  for (const BarChart::Bar& bar : chart.bars) {
    const double share = std::isfinite(bar.value) ? (greatest > 0 ? std::max(bar.value, 0.0) / greatest : 0)
                                                  : (bar.value > 0 ? 1.0 : 0.0);
    html_ += "<g><title>" + escape_html(bar.label + ": " + bar.text) + "</title>";
    html_ += text_at(kLabels - 8, y + 14, shortened(bar.label, kLetters), " text-anchor=\"end\"");
    html_ += "<rect class=\"" + std::string(bar.strong ? "mark" : "bar") + "\" x=\"" + number(kLabels) + "\" y=\"" +
             number(y + 3) + "\" width=\"" + number(std::max(share * kBars, 0.5)) + "\" height=\"" + number(kRow - 6) +
             "\"/>\n";
    html_ += text_at(kLabels + share * kBars + 6, y + 14, bar.text, " class=\"soft\"") + "</g>\n";
    y += kRow;
  }
  html_ += "</svg>\n";
}

void HtmlPage::scatter(const ScatterPlot& plot) {
  constexpr double kWidth = 900, kHeight = 460, kLeft = 90, kRight = 20, kTop = 30, kBottom = 55;
  std::vector<ScatterPlot::Point> points;
  for (const ScatterPlot::Point& point : plot.points)
    if (std::isfinite(point.x) && std::isfinite(point.y)) points.push_back(point);
  html_ += open_svg(plot.title, kWidth, kHeight);
  html_ += text_at(0, 14, plot.title, " class=\"soft\"");
  if (!points.empty()) {
    const auto by_x = [](const auto& a, const auto& b) { return a.x < b.x; };
    const auto by_y = [](const auto& a, const auto& b) { return a.y < b.y; };
    const auto [left, right] = std::minmax_element(points.begin(), points.end(), by_x);
    const auto [low, high] = std::minmax_element(points.begin(), points.end(), by_y);
    const Axis x(left->x, right->x, kLeft, kWidth - kRight, 8), y(low->y, high->y, kHeight - kBottom, kTop, 6);
    for (const double tick : x.ticks()) {
      html_ += "<line class=\"line\" x1=\"" + number(x.at(tick)) + "\" x2=\"" + number(x.at(tick)) + "\" y1=\"" +
               number(y.begin) + "\" y2=\"" + number(y.end) + "\"/>\n";
      html_ += text_at(x.at(tick), y.begin + 18, number(std::fabs(tick) < x.step / 2 ? 0 : tick),
                       " class=\"soft\" text-anchor=\"middle\"");
    }
    for (const double tick : y.ticks()) {
      html_ += "<line class=\"line\" x1=\"" + number(x.begin) + "\" x2=\"" + number(x.end) + "\" y1=\"" +
               number(y.at(tick)) + "\" y2=\"" + number(y.at(tick)) + "\"/>\n";
      html_ += text_at(x.begin - 8, y.at(tick) + 4, number(std::fabs(tick) < y.step / 2 ? 0 : tick),
                       " class=\"soft\" text-anchor=\"end\"");
    }
    std::stable_sort(points.begin(), points.end(), by_x);
    std::string line;
    double least = INFINITY;
    for (const ScatterPlot::Point& point : points) {
      if (point.hollow || point.y >= least) continue;
      if (!line.empty()) line += number(x.at(point.x)) + ',' + number(y.at(least)) + ' ';
      line += number(x.at(point.x)) + ',' + number(y.at(point.y)) + ' ';
      least = point.y;
    }
    if (!line.empty()) html_ += "<polyline class=\"front\" points=\"" + line + "\"/>\n";
    for (const bool front : {false, true}) {  // those of the front lie above
      for (const ScatterPlot::Point& point : points) {
        if (point.front != front) continue;
        const std::string at = "cx=\"" + number(x.at(point.x)) + "\" cy=\"" + number(y.at(point.y)) + '"';
        html_ += "<g><title>" + escape_html(point.label) + "</title><circle class=\"" +
                 (front          ? "mark"
                  : point.hollow ? "hollow"
                                 : "other") +
                 "\" " + at + " r=\"" + (front ? "5" : "3.5") + "\"/>";
        if (point.chosen) html_ += "<circle class=\"chosen\" " + at + " r=\"9\"/>";
        html_ += "</g>\n";
      }
    }
    html_ += text_at((x.begin + x.end) / 2, kHeight - 8, plot.x_label, " text-anchor=\"middle\"");
    html_ += "<text transform=\"translate(14 " + number((y.begin + y.end) / 2) +
             ") rotate(-90)\" text-anchor=\"middle\">" + escape_html(plot.y_label) + "</text>\n";
  }
  html_ += "</svg>\n";
}

std::string HtmlPage::finish() && {
  if (sortable_) html_ += std::string("<script>") + kSort + "</script>\n";
  html_ += "</body>\n</html>\n";
  return std::move(html_);
}

}  // namespace linnet::cli
