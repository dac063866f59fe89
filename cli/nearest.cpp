#include "cli/nearest.h"

#include <algorithm>
#include <vector>

namespace rheo::cli {

namespace {

constexpr std::size_t kLongest = 64;  // of a word that anyone means

/// The fewest letters put in, left out, changed or swapped with their neighbours that make one word
/// of the other (optimal string alignment).
std::size_t slips(const std::string& a, const std::string& b) {
  const std::size_t columns = b.size() + 1;
  std::vector<std::size_t> d((a.size() + 1) * columns);
  const auto at = [&](std::size_t i, std::size_t j) -> std::size_t& { return d[i * columns + j]; };
  for (std::size_t i = 0; i <= a.size(); ++i) at(i, 0) = i;
  for (std::size_t j = 0; j <= b.size(); ++j) at(0, j) = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = at(i - 1, j - 1) + (a[i - 1] != b[j - 1]);
      at(i, j) = std::min({at(i - 1, j) + 1, at(i, j - 1) + 1, changed});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        at(i, j) = std::min(at(i, j), at(i - 2, j - 2) + 1);
    }
  return at(a.size(), b.size());
}

/// The one word that is the beginning of `word`, or has it as its own: "--batch" of "--batch-size".
/// Empty where there is none or more than one.
std::string continued(const std::string& word, std::span<const std::string> words) {
  const auto fits = [&](const std::string& candidate) {
    return word.starts_with(candidate) || candidate.starts_with(word);
  };
  if (std::count_if(words.begin(), words.end(), fits) != 1) return {};
  return *std::find_if(words.begin(), words.end(), fits);
}

}  // namespace

std::string nearest(const std::string& word, std::span<const std::string> words) {
  if (word.size() > kLongest) return {};
  std::string best;
  std::size_t fewest = std::max<std::size_t>(1, word.size() / 4) + 1;
  for (const std::string& candidate : words)
    if (const std::size_t count = slips(word, candidate); count < fewest) {
      fewest = count;
      best = candidate;
    }
  return best.empty() ? continued(word, words) : best;
}

std::string suggestion(const std::string& word, std::span<const std::string> words) {
  const std::string meant = nearest(word, words);
  return meant.empty() ? meant : "; did you mean " + meant + "?";
}

}  // namespace rheo::cli
