#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rheo/dataset.h"
#include "rheo/export.h"
#include "rheo/model.h"

namespace rheo {

enum class Optimizer {
  adam,           ///< Kingma & Ba 2015, arXiv:1412.6980, algorithm 1.
  adamax,         ///< The same paper, algorithm 2: w -= lr / (1 - b1^t) m / (u + eps).
  adamax_openai,  ///< As the published Glow has it: the factor is sqrt(1 - b2^t) / (1 - b1^t).
};

enum class Schedule { constant, cosine };

/// Images of one pass, and passes before an update, at most.
inline constexpr int kMaxBatch = 65536;

struct TrainOptions {
  std::int64_t steps = 10000;  ///< Updates in all; the cosine ends there at a hundredth.
  int batch = 64;              ///< Images of one forward and backward pass.
  int accumulate = 1;          ///< Passes before an update.
  Optimizer optimizer = Optimizer::adamax;
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  std::int64_t warmup_images = 10000;  ///< The rate rises linearly from 0 over these.
  Schedule schedule = Schedule::constant;
  double clip_norm = 100;  ///< Largest global norm of the gradient (of nats an image); 0: none.
  double average = 0;      ///< Decay of an exponential average of the weights; 0: none.
  int init_images = 256;   ///< For the data-dependent initialisation.
  bool flip = false;       ///< Random horizontal flips.
  int shift = 0;           ///< Random shifts of up to so many pixels; the border is repeated.
  std::uint64_t seed = 0;  ///< Of weights' initialisation by data, order, noise and augmentation.
  int loader_threads = 1;  ///< Prefetching; changes no bit.

  /// @throws Error invalid_argument naming the first value out of range.
  RHEO_API void validate() const;

  RHEO_API std::string to_json() const;
  /// @throws Error bad_file for malformed JSON, an unknown key or a wrong value.
  RHEO_API static TrainOptions from_json(const std::string& json);
};

/// What one update did.
struct StepReport {
  std::int64_t step = 0;     ///< Updates asked for so far, this one included.
  double bits_per_dim = 0;   ///< Mean over the images of this update, before it; of vectors
                             ///< nats / (D ln 2).
  double gradient_norm = 0;  ///< Before clipping.
  double learning_rate = 0;
  bool skipped = false;  ///< Loss, gradient or a weight was not finite: nothing was changed.
  std::int64_t skipped_total = 0;
  std::int64_t images = 0;  ///< Seen so far.
  double nats = 0;          ///< Mean of -log p(x), in nats an image or vector.
};

/// What training of `model` takes with these options: `automatic` is the fastest mode that fits.
/// Tests, samples and checkpoints on the way come on top: batches as `Model::plan` has them, and a
/// second set of weights where an average is kept.
/// Nothing else may use the model meanwhile.
/// @throws Error invalid_argument where an option is out of range.
RHEO_API MemoryPlan plan_training(const Model& model, const TrainOptions& options,
                                  Memory memory = Memory::automatic);

/// Trains a model by maximum likelihood.
///
/// The order of images is a keyed permutation of (seed, epoch, index) and every random number is a
/// function of (seed, epoch, index), so that a resumed run repeats what an unbroken one does, bit
/// for bit at the same thread count and instruction set.
class RHEO_API Trainer {
 public:
  /// Takes over the model and, where it is not yet initialised, initialises it from the data at the
  /// first step. The data must outlive the trainer. Vectors are neither flipped nor shifted.
  /// @throws Error invalid_argument where data and model do not fit or an option is out of range.
  Trainer(Model model, const Dataset& train, const TrainOptions& options);
  Trainer(Model, const Dataset&&, const TrainOptions&) = delete;

  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  /// One update. @throws Error diverged when 20 in a row had to be skipped, naming the first layer
  /// or gradient that is not finite.
  StepReport step();

  /// The weights to use: the average where one is kept, else the newest. Valid until the next step.
  Model& model();

  /// Gives the model of `model()` away; the trainer is then empty, and refuses every call.
  Model release();

  const TrainOptions& options() const;
  const MemoryPlan& plan() const;  ///< As `plan_training` had it when the trainer was made.
  std::int64_t steps_done() const;
  std::int64_t last_update() const;  ///< The step after which the weights are as they are now.

  /// Writes model.safetensors and state.safetensors into `folder`, which must exist. Use a new
  /// folder for each save: each file is replaced whole but one after the other, so that a failure
  /// in between leaves two that do not belong together, which `resume` refuses.
  /// @throws Error io, path named; diverged, naming the tensor or layer, where a weight is not
  /// finite or the weights make of the last batch numbers that are not; nothing is written then.
  void save(const std::string& folder);

  /// Goes back to what `save` wrote earlier in this run, and on from there with half the learning
  /// rate, since the same updates would end as they did before. States saved from then on tell of
  /// it, so that a resumed run has the same rate. After a refusal the trainer is as it was.
  /// @throws Error bad_file for damage or for another run's state; newer_file where only a newer
  /// rheo reads it; io.
  void roll_back(const std::string& folder);
  std::int64_t rollbacks() const;  ///< So far, those before a resume included.

  /// Continues from what `save` wrote. `train` must be the data of that run.
  /// @throws Error bad_file for damage, or for another run's data; newer_file where only a newer
  /// rheo reads it; io where reading fails; invalid_argument where compute (precision, memory,
  /// threads, instruction set) differs from the run's, unless allow_inexact.
  static Trainer resume(const std::string& folder, const Dataset& train,
                        const Compute& compute = {}, bool allow_inexact = false);
  static Trainer resume(const std::string&, const Dataset&&, const Compute& = {},
                        bool = false) = delete;

  class Impl;

 private:
  Impl& impl(const char* who) const;
  explicit Trainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rheo
