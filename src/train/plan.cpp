// What training takes of its device's memory.

#include <algorithm>

#include "src/check.h"
#include "src/train/impl.h"

namespace rheo {

Keep keep_of(Memory memory) {
  return memory == Memory::full ? Keep::full : memory == Memory::state ? Keep::state : Keep::invert;
}

std::vector<Trainer::Impl::Piece> Trainer::Impl::optimizer_pieces(const Model::Impl& model,
                                                                  const TrainOptions& options) {
  const Layout& layout = model.layout;
  const std::int64_t flat = layout.parameters * std::int64_t{sizeof(float)};
  std::vector<Piece> pieces = {
      {&Impl::gradient_, flat, "gradients"},
      {&Impl::dfolded_, layout.folded * std::int64_t{sizeof(float)}, "folded gradients"},
      {&Impl::dpacked_, layout.dpacked * std::int64_t{sizeof(float)}, "packed gradients"},
      {&Impl::first_, flat, "first moments"},
      {&Impl::second_, flat, "second moments"},
      {&Impl::control_, sizeof(AdamControl), "optimiser"},
      {&Impl::norm_, kAdamParts * std::int64_t{sizeof(double)}, "optimiser"}};
  if (options.average > 0) pieces.push_back({&Impl::average_, flat, "averaged weights"});
  return pieces;
}

std::vector<Trainer::Impl::Piece> Trainer::Impl::batch_pieces(const Model::Impl& model,
                                                              const TrainOptions& options) {
  const std::int64_t batch = options.batch;
  // Vectors are used where the feed puts them.
  const std::int64_t dequantised = model.config.is_vector() ? 0 : batch * model.config.dims();
  return {{&Impl::x_, dequantised * std::int64_t{sizeof(float)}, "images"},
          {&Impl::log_prob_, batch * options.accumulate * std::int64_t{sizeof(double)}, "losses"},
          {&Impl::dlog_prob_, batch * std::int64_t{sizeof(float)}, "losses"}};
}

/// All but what depends on the device's state.
MemoryPlan Trainer::Impl::parts(const Model::Impl& model, const TrainOptions& options,
                                Memory memory) {
  const auto sum = [](const std::vector<Piece>& pieces) {
    std::int64_t bytes = 0;
    for (const Piece& piece : pieces) bytes += piece.bytes;
    return bytes;
  };
  MemoryPlan plan;
  plan.memory = memory, plan.batch = options.batch;
  plan.weights = static_cast<std::int64_t>(model.weight_bytes());
  plan.optimizer = sum(optimizer_pieces(model, options));
  plan.activations =
      static_cast<std::int64_t>(model.activation_bytes(options.batch, keep_of(memory)));
  plan.workspace = sum(batch_pieces(model, options)) +
                   static_cast<std::int64_t>(Feed::device_bytes(options.batch, model.config));
  return plan;
}

MemoryPlan Trainer::Impl::planned(const Model::Impl& model, const TrainOptions& options,
                                  Memory memory) {
  const std::size_t free = model.backend().free_bytes();
  const std::int64_t first =
      model.initialized
          ? 0
          : static_cast<std::int64_t>(initialization_bytes(model, options.init_images));
  const auto plan_of = [&](Memory mode, std::int64_t batch) {
    TrainOptions o = options;
    o.batch = static_cast<int>(batch);
    return parts(model, o, mode);
  };
  const auto largest = [&](Memory mode, std::int64_t most) {
    return largest_fitting(most, free, [&](std::int64_t batch) {
      const MemoryPlan plan = plan_of(mode, batch);
      return plan.optimizer + plan.workspace + std::max(plan.activations, first);
    });
  };
  const auto fits = [&](Memory mode) { return largest(mode, options.batch) == options.batch; };
  // The network's input is not the output of its layer with one half unmoved, to be had again.
  const bool all = model.config.is_autoregressive();
  require(!all || memory == Memory::automatic || memory == Memory::full,
          "Trainer: memory of autoregressive models (maf, iaf) must be full");
  if (memory == Memory::automatic && all) memory = Memory::full;
  if (memory == Memory::automatic)
    memory = fits(Memory::full)    ? Memory::full
             : fits(Memory::state) ? Memory::state
                                   : Memory::invert;
  MemoryPlan plan = plan_of(memory, options.batch);
  plan.per_image = (plan_of(memory, 2 * plan.batch).total() - plan.total()) / plan.batch;
  plan.activations = std::max(plan.activations, first);  // the first step's initialisation
  plan.workspace += static_cast<std::int64_t>(model.backend().overhead_bytes);
  plan.free = static_cast<std::int64_t>(free);
  plan.largest_batch = largest(memory, kMaxBatch);
  return plan;
}

namespace {

/// A queue's side streams, open for a while where they are wanted.
class OpenSides {
 public:
  OpenSides(Queue& queue, bool wanted) : queue_(queue), ours_(wanted && !queue.side(0)) {
    if (ours_) queue_.open_sides();
  }
  ~OpenSides() {
    if (ours_) queue_.close_sides();
  }
  OpenSides(const OpenSides&) = delete;
  OpenSides& operator=(const OpenSides&) = delete;

 private:
  Queue& queue_;
  const bool ours_;
};

}  // namespace

MemoryPlan plan_training(const Model& model, const TrainOptions& options, Memory memory) {
  options.validate();
  Model::Impl& impl = model.impl("plan_training");
  const DeviceScope scope(impl.compute.device);
  return guarded("plan_training", [&] {
    const bool overlaps = memory == Memory::full || memory == Memory::automatic;
    const OpenSides sides(impl.queue, overlaps);  // as a trainer has them
    return Trainer::Impl::planned(impl, options, memory);
  });
}

}  // namespace rheo
