#include "examples/generative_zoo/record.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "rheo/error.h"
#include "rheo/npy.h"

namespace zoo {
namespace {

/// log p of the moons that 99 in 100 of their own points exceed.
double edge_of_moons() {
  static const double edge = [] {
    const Values test = moons().test;
    std::vector<double> log_p = moons_log_density({test.begin(), test.begin() + 4000});
    std::nth_element(log_p.begin(), log_p.begin() + 20, log_p.end());
    return log_p[20];
  }();
  return edge;
}

}  // namespace

int run_program(int count, char** words, const std::function<void(const Request&)>& work) {
  const double share = count == 3 ? std::atof(words[2]) : 1;
  if (count < 2 || count > 3 || !(share > 0 && share <= 1))
    return std::fprintf(stderr, "usage: %s FOLDER [SHARE of the updates, up to 1]\n", words[0]), 2;
  try {
    std::filesystem::create_directories(words[1]);
    work({words[1], share});
    return 0;
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "%s: %s\n", words[0], error.what()), 1;
  }
}

Mean mean_of(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  for (const double value : values) squares += std::pow(value - sum / count, 2);
  return {sum / count, std::sqrt(squares / count / count)};
}

Record::Record(const Request& request, std::string model, const Data& data)
    : path_(request.folder + "/" + model + "-" + data.name),
      name_(model + " " + data.name),
      dims_(data.dims),
      moons_(data.name == "moons") {
  text("model", model);
  text("data", data.name);
}

void Record::text(const std::string& key, const std::string& value) {
  entries_.emplace_back(key, '"' + value + '"');
}

void Record::number(const std::string& key, double value) {
  std::ostringstream digits;
  digits.precision(9);
  digits << value;
  entries_.emplace_back(key, std::isfinite(value) ? digits.str() : "null");
}

void Record::value(Mean mean, const std::string& unit) {
  number("value", mean.value);
  number("error", mean.error);
  text("unit", unit);
}

void Record::table(const std::string& name, const Values& values, int width) const {
  const auto rows = static_cast<std::int64_t>(values.size()) / width;
  rheo::write_npy(path_ + "-" + name + ".npy", rheo::Tensor{{rows, width}, values});
}

void Record::train(int updates, const std::function<double()>& update) {
  constexpr int kPoints = 100, kLines = 4;
  const Clock clock;
  Values curve;
  double sum = 0;
  int terms = 0;
  for (int i = 1; i <= updates; ++i) {
    sum += update(), ++terms;
    if (i * kPoints / updates == (i - 1) * kPoints / updates) continue;
    curve.push_back(static_cast<float>(i));
    curve.push_back(static_cast<float>(sum / terms));
    if (i * kLines / updates != (i - 1) * kLines / updates)
      std::printf("%-24s %6d of %6d updates  %9.4f  %5.1f s\n", name_.c_str(), i, updates,
                  sum / terms, clock.seconds()),
          std::fflush(stdout);
    sum = 0, terms = 0;
  }
  number("train_seconds", clock.seconds());
  table("curve", curve, 2);
}

void Record::samples(const std::function<Values(Random stream)>& thousand) {
  Values drawn;
  double least = INFINITY;
  const Clock all;
  do {
    const Clock clock;
    drawn = thousand(Random(9));
    least = std::min(least, clock.seconds());
  } while (all.seconds() < 0.2);
  number("sample_seconds", least);
  table("samples", drawn, dims_);
  if (!moons_) return;
  const std::vector<double> log_p = moons_log_density(drawn);
  const auto inside = std::count_if(log_p.begin(), log_p.end(),
                                    [edge = edge_of_moons()](double x) { return x > edge; });
  number("on_moons", static_cast<double>(inside) / static_cast<double>(log_p.size()));
}

void Record::save() const {
  std::ofstream file(path_ + ".json");
  for (std::size_t i = 0; i < entries_.size(); ++i)
    file << (i ? ",\n " : "{") << '"' << entries_[i].first << "\": " << entries_[i].second;
  file << "}\n";
  file.close();
  if (!file) throw rheo::Error(rheo::Errc::io, path_ + ".json: cannot be written");
}

}  // namespace zoo
