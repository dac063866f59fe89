#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rheo/config.h"
#include "rheo/dataset.h"
#include "rheo/device.h"
#include "rheo/export.h"
#include "rheo/image.h"
#include "rheo/tensor.h"

namespace rheo {

struct SampleOptions {
  std::uint64_t seed = 0;
  double temperature = 1;  ///< Standard deviation of eps; 0 gives the mode of each prior.
  Labels labels = {};      ///< One for each image, or one for all; only, and always, with classes.
  std::int64_t first = 0;  ///< Index of the first: sample i depends on seed and first + i alone.
  int batch = 0;           ///< Samples at once; 0: chosen to fit. Changes no bit on the CPU.
};

/// What work takes of its device's memory, in bytes, found by a dry run of what allocates it.
struct MemoryPlan {
  Memory memory = Memory::full;  ///< What training keeps; nothing is kept for the rest.
  std::int64_t batch = 0;        ///< Images or vectors at once.
  std::int64_t weights = 0;      ///< Parameters, and what is folded and packed of them.
  std::int64_t optimizer = 0;    ///< Gradients, moments and the average; 0 but for training.
  std::int64_t activations = 0;  ///< Of the batch.
  std::int64_t workspace = 0;    ///< The batch itself, its results and other small things.
  std::int64_t per_image = 0;    ///< What each further image or vector of a batch adds.
  std::int64_t free = 0;  ///< On the device when the plan was made, the weights there already.
  std::int64_t largest_batch = 0;  ///< That fits then, with a tenth left to others; 0: none does.

  std::int64_t total() const { return weights + optimizer + activations + workspace; }
};

/// A flow of any family: weights on a device, and the flow in both directions.
///
/// Data x are images [N, H, W, C] float32, dequantised (see `dequantize`), or vectors [N, D]
/// float32; latents are [N, D] float32, of images eps of level 0 first, the top's last. Any N: work
/// is cut into batches that fit. A model is used by one thread at a time; two models by two. Memory
/// that runs out is Error out_of_memory.
class RHEO_API Model {
 public:
  /// Random weights as docs/model.md has them, a function of config and seed alone. ActNorm, which
  /// models of images have, is not initialised yet: see `initialize`.
  /// @throws Error invalid_argument for a config out of range; unsupported for a precision or
  /// memory mode that the device lacks; out_of_memory.
  explicit Model(const ModelConfig& config, std::uint64_t seed = 0, const Compute& compute = {});

  /// Reads a checkpoint (safetensors). @throws Error bad_file for anything wrong with it;
  /// newer_file where only a newer rheo reads it; io where reading fails.
  static Model load(const std::string& path, const Compute& compute = {});

  /// Writes a checkpoint: a temporary file, synced, then renamed. @throws Error io, path named;
  /// diverged where a parameter is not finite, naming it.
  void save(const std::string& path) const;

  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  const ModelConfig& config() const;
  const Compute& compute() const;  ///< With `automatic` resolved.
  std::int64_t parameter_count() const;

  /// What scoring and sampling take with batches of so many images or vectors; 0: as they choose
  /// themselves.
  /// @throws Error invalid_argument for a negative batch.
  MemoryPlan plan(int batch = 0) const;

  /// Data-dependent initialisation (arXiv:1807.03039, section 3.1): ActNorm, and bias and scale of
  /// conv1 and conv2, so that each starts with mean 0 and deviation 1 over these images x.
  /// A standard deviation below 1e-3 counts as 1e-3, so that a constant channel cannot make a huge
  /// scale. Replaces whatever these parameters were. Models of vectors have none of them and stay
  /// as they are. @throws Error diverged where values are so large that a parameter is not finite.
  void initialize(const Tensor& x);

  /// False between construction and `initialize`; everything below then refuses. Kept in the file.
  bool initialized() const;

  /// log p(x) in nats, one for each image or vector. A model with classes takes labels, or without
  /// them returns log of the mean over classes of p(x | y).
  /// @throws Error invalid_argument for a wrong shape or label; diverged where it is not finite,
  /// naming the first image, level and step: a score is never infinite.
  std::vector<double> log_prob(const Tensor& x, const Labels& labels = {},
                               const Progress& progress = {});

  /// Latents eps [N, D] of x. With classes, labels are required. @throws Error as log_prob does.
  Tensor encode(const Tensor& x, const Labels& labels = {}, const Progress& progress = {});

  /// Images or vectors of latents; undoes encode, with a bf16 network only nearly. @throws Error
  /// diverged where a value is not finite, naming the first image, level and step.
  Tensor decode(const Tensor& latents, const Labels& labels = {}, const Progress& progress = {});

  /// What `steps` steps of the flow make of vectors x [N, D]: 0 is x itself, all of them the state
  /// that the prior sees. The coordinates are in the data's order, fixed permutations undone.
  /// @throws Error invalid_argument for more steps than the model has, and for a model of images;
  /// diverged where a value is not finite.
  Tensor encode_steps(const Tensor& x, int steps, const Progress& progress = {});

  /// The other way round: what is left of latents [N, D] with the last `steps` steps undone. 0 is
  /// the state that they stand for, all steps are `decode`. @throws Error as encode_steps does.
  Tensor decode_steps(const Tensor& latents, int steps, const Progress& progress = {});

  /// Draws `count` images or vectors x. @throws Error as decode does.
  Tensor sample(std::int64_t count, const SampleOptions& options = {},
                const Progress& progress = {});

  class Impl;

  /// For the library itself. @throws Error invalid_argument where the model was moved from, as
  /// every other member does.
  Impl& impl(const char* who = "Model") const;

 private:
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct Score {
  double bits_per_dim = 0;    ///< Mean over images; of vectors nats / (D ln 2).
  double standard_error = 0;  ///< Of that mean.
  std::int64_t images = 0;    ///< Or vectors.
  double nats = 0;            ///< Mean of -log p(x), in nats an image or vector.
  double nats_standard_error = 0;
};

/// The mean of what log_prob returns. @throws Error invalid_argument for a config out of range.
RHEO_API Score mean_score(const std::vector<double>& log_prob, const ModelConfig& config);

/// The same of a data set, one draw of noise an image; vectors get none. Labels are used where the
/// model has classes and the data have labels.
/// @throws Error invalid_argument where sizes differ.
RHEO_API Score score(Model& model, const Dataset& data, const Noise& noise = Noise::uniform(0),
                     const Progress& progress = {});

}  // namespace rheo
