#pragma once

#include <map>
#include <string>
#include <vector>

#include "rheo/config.h"
#include "tests/reference/image.h"

namespace rheo::reference {

using Parameters = std::map<std::string, Values>;

/// Glow in double precision, image by image and value by value: what the backends are held to.
///
/// Parameters have a checkpoint's names, permutations and signs among them. x is [N, H, W, C],
/// latents [N, D]. Labels: one for each image with classes, empty without.
class Glow {
 public:
  Glow(const ModelConfig& config, Parameters parameters);

  /// Nats, one for each image; with classes but no labels, log of the mean of p(x | y) over y.
  Values log_prob(const Values& x, const std::vector<int>& labels) const;

  Values encode(const Values& x, const std::vector<int>& labels) const;
  Values decode(const Values& latents, const std::vector<int>& labels) const;

 private:
  struct Encoded {
    double log_prob = 0;
    Values latents;
  };
  struct Gaussian {
    Image mean;
    Image log_sd;
  };

  const Values& parameter(const std::string& name) const { return parameters_.at(name); }

  Image conv3x3(const Image& x, const std::string& name) const;
  Image conv1x1(const Image& x, const std::string& name) const;
  void add_bias_and_scale(Image& x, const std::string& name, double factor) const;
  Image network(const Image& a, const std::string& name) const;

  double actnorm(Image& x, const std::string& name) const;
  double invconv(Image& x, const std::string& name) const;
  double coupling(Image& x, const std::string& name) const;
  void undo_actnorm(Image& x, const std::string& name) const;
  void undo_invconv(Image& x, const std::string& name) const;
  void undo_coupling(Image& x, const std::string& name) const;

  double log_scale(double raw) const;
  Gaussian split_prior(const Image& a, const std::string& name) const;
  Gaussian top_prior(const Image& like, int label) const;
  void bound(Image& log_sd) const;

  Encoded encode_one(Image x, int label) const;
  Image decode_one(const double* latents, int label) const;
  Image image(const Values& x, std::size_t n) const;
  std::size_t count(const Values& x) const { return x.size() / config_.dims(); }
  int label_of(const std::vector<int>& labels, std::size_t n) const;

  ModelConfig config_;
  Parameters parameters_;
};

}  // namespace rheo::reference
