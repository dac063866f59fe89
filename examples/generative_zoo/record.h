#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "examples/generative_zoo/data.h"

namespace zoo {

/// What a program was asked for: where its results go, and how much of its work to do.
struct Request {
  std::string folder;
  double share;

  /// So many updates of the whole, at least one.
  int of(int updates) const { return std::max(1, static_cast<int>(updates * share)); }
};

/// The body of a program, FOLDER [SHARE]: makes the folder, calls `work` and prints what it throws.
int run_program(int count, char** words, const std::function<void(const Request&)>& work);

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Mean and its standard error.
struct Mean {
  double value, error;
};
Mean mean_of(const std::vector<double>& values);

/// What the page shows of one model on one data set: MODEL-DATA.json and MODEL-DATA-NAME.npy.
class Record {
 public:
  Record(const Request& request, std::string model, const Data& data);

  void text(const std::string& key, const std::string& value);
  void number(const std::string& key, double value);
  void value(Mean mean, const std::string& unit);  ///< Of the likelihood, bound or divergence.
  void table(const std::string& name, const Values& values, int width) const;

  /// Calls `update`, which returns an objective, so often; says how it goes; keeps the time that it
  /// took and the objective's course, in a hundred means.
  void train(int updates, const std::function<double()>& update);

  /// Keeps 1,000 samples, and the time that they take, the least of the draws that 0.2 s have room
  /// for; of the moons also how many of them lie where 99 in 100 of the data do. The stream is the
  /// same at each draw.
  void samples(const std::function<Values(Random stream)>& thousand);

  void save() const;

 private:
  std::string path_, name_;
  int dims_;
  bool moons_;
  std::vector<std::pair<std::string, std::string>> entries_;
};

}  // namespace zoo
