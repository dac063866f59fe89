#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rheo/model.h"
#include "src/arena.h"
#include "src/model/flow.h"
#include "src/model/layout.h"

namespace rheo {

struct SafetensorsFile;

/// "image" or "vector": one of what such a model takes.
const char* item_of(const ModelConfig& config);

/// Index of the first value that is not finite, or -1.
std::int64_t first_bad(const float* values, std::int64_t count);

/// Where a flow is: "level 0, step 3", of vectors "step 3"; step -1 is the level's prior.
std::string place_of(const ModelConfig& config, int level, int step);

/// Of values on the device laid out as the parameters are, the first (or last) tensor that is not
/// all finite, with the value; empty where all are.
std::string bad_tensor(const Layout& layout, const Queue& queue, const float* flat,
                       bool last = false);

/// The precision of the network that `compute` resolves to.
Dtype network_type(const Compute& compute);

/// A model's parameters on a device, what is folded from them, and room for one batch.
class Model::Impl {
 public:
  /// All parameters zero, permutations and signs the identity's.
  Impl(const ModelConfig& config, const Compute& compute);

  /// The model that a checkpoint holds; `path` is what messages name.
  /// @throws Error bad_file unless every tensor is there and right.
  static Model loaded(const SafetensorsFile& file, const std::string& path, const Compute& compute);

  const ModelConfig config;
  Compute compute;  // its memory is automatic until training resolves it
  Queue queue;
  const Layout layout;
  const Flow flow;
  bool initialized = true;

  const Backend& backend() const { return queue.backend(); }

  /// The flat parameters in device memory. Whoever writes them calls `changed`.
  float* parameters() const { return parameters_.as<float>(); }
  void changed() { prepared_ = false; }

  /// A tensor by its description, from or to the host. Tensors of integers are given as floats.
  std::vector<float> read(const ParameterInfo& tensor) const;
  void write(const ParameterInfo& tensor, const std::vector<float>& values);

  /// Folds what changed since the last call and returns where everything lies.
  Weights weights();
  /// Folds everything.
  void prepare() const;
  /// Where everything lies.
  Weights folded() const;
  WeightsArgs weights_args() const;

  /// Memory for the activations of a batch.
  /// @throws Error out_of_memory that tells the largest batch for which there is room.
  DeviceBuffer activations(std::int64_t images, Keep keep) const;
  std::size_t activation_bytes(std::int64_t images, Keep keep) const;

  /// Images to work on at once, and buffers for so many, kept until more are wanted.
  std::int64_t batch_of(std::int64_t images, std::int64_t wanted = 0) const;
  const FlowBuffers& room_for(std::int64_t images);
  void release_room();

  /// Of what a batch comes in and goes out by.
  struct BatchBytes {
    std::size_t x, latents, labels;
    std::size_t all() const { return x + latents + labels; }
  };
  BatchBytes batch_bytes(std::int64_t images) const;

  /// Of all that a model holds between calls but the room for a batch.
  std::size_t weight_bytes() const { return weight_bytes_; }

  /// log p and, where `latents` is not null, eps, of images on the host.
  std::vector<double> run_forward(const char* who, const Tensor& x, const Labels& labels,
                                  Tensor* latents, const Progress& progress);

  /// The state of vectors after `steps` steps from the data, or with so many undone from the
  /// latents, coordinates in the data's order where permutations are fixed.
  Tensor run_steps(const char* who, const Tensor& values, int steps, bool forward,
                   const Progress& progress);

  /// Images of the latents that `fill(first, count)` puts into batch_eps, a batch at a time.
  Tensor run_inverse(const char* who, std::int64_t images, std::int64_t batch, const Labels& labels,
                     const std::function<void(std::int64_t, std::int64_t)>& fill,
                     const Progress& progress);

  /// What is not finite of the parameters; empty where all are.
  std::string bad_parameter() const;
  /// What first is not finite of the parameters or on the way of one image forward: "level 1, step
  /// 3: its coupling's output is +inf"; empty where nothing is. `x` on either side, `label` on the
  /// device or null.
  std::string bad_layer(const float* x, const int* label);

  float* batch_x() const { return x_.as<float>(); }
  float* batch_eps() const { return latents_.as<float>(); }
  int* batch_labels() const { return labels_.as<int>(); }

  /// Of so many images or vectors.
  Shape shape_of(std::int64_t count) const;

  void require_initialized(const char* who) const;
  void require_images(const char* who, const Tensor& x) const;  ///< Or vectors.
  /// Throws unless there are as many values as the shape says, all finite.
  void require_finite(const char* who, const char* what, const Tensor& x) const;
  void require_labels(const char* who, const Labels& labels, std::int64_t images,
                      bool optional) const;

 private:
  void plan_packs();
  struct Pass {
    std::int64_t images;
    bool labelled, latents;
    bool operator==(const Pass&) const = default;
  };
  void all_classes(const FlowBuffers& b, std::int64_t count, double* log_prob);
  /// Vectors or their latents in `state` become what is between `done` steps and the rest.
  void forward_to(int done, std::int64_t count, std::vector<float>& state);
  void inverse_to(int done, std::int64_t count, std::vector<float>& state);
  /// bad_layer in brackets, for a message.
  std::string where_bad(const float* x, const int* label);
  /// What may keep an inverse finite.
  std::string remedy() const;
  [[noreturn]] void name_bad_layer(const char* who, std::int64_t first, std::int64_t count,
                                   const int* labels);

  DeviceBuffer parameters_, signs_, permutations_, folded_, packed_, log_det_, mixes_, products_,
      workspace_, packs_room_;
  std::vector<LinearPack> packs_;  // of layout.products; none where the backend wants none
  DeviceBuffer room_, x_, latents_, labels_;
  FlowBuffers buffers_{};
  std::size_t weight_bytes_ = 0;
  bool prepared_ = false;
  // The last batch's forward and inverse pass, and what they were recorded for.
  Repeated forward_{queue}, inverse_{queue};
  Pass forward_of_{}, inverse_of_{};
};

/// Random weights (docs/model.md, "A new model"), a function of the seed.
void randomize(Model::Impl& model, std::uint64_t seed);

/// Data-dependent initialisation from x [N, H, W, C].
void initialize_from(Model::Impl& model, const Tensor& x);
/// What it takes on the device for so many images, besides the weights.
std::size_t initialization_bytes(const Model::Impl& model, std::int64_t images);

/// Writes `model` with parameters as they are, to a checkpoint, with `more` among its metadata.
/// Returns the file's content hash.
std::string save_checkpoint(const Model::Impl& model, const std::string& path,
                            const std::map<std::string, std::string>& more = {});

}  // namespace rheo
