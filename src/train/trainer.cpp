#include "rheo/trainer.h"

#include "src/check.h"
#include "src/train/impl.h"

namespace rheo {

Trainer::Trainer(Model model, const Dataset& train, const TrainOptions& options) {
  guarded("Trainer", [&] { impl_ = std::make_unique<Impl>(std::move(model), train, options); });
}

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Trainer::Impl& Trainer::impl(const char* who) const {
  require(impl_ != nullptr, who, ": the trainer is empty: it was moved from or released");
  return *impl_;
}

StepReport Trainer::step() {
  Impl& impl = this->impl("Trainer::step");
  return guarded("Trainer::step", [&] {
    const StepReport report = impl.step();
    impl.require_progress();
    return report;
  });
}

Model& Trainer::model() {
  Impl& impl = this->impl("Trainer::model");
  return guarded("Trainer::model", [&]() -> Model& { return impl.model(); });
}

Model Trainer::release() {
  Impl& impl = this->impl("Trainer::release");
  Model model = guarded("Trainer::release", [&] { return impl.release(); });
  impl_.reset();
  return model;
}

void Trainer::save(const std::string& folder) {
  Impl& impl = this->impl("Trainer::save");
  guarded("Trainer::save", [&] { impl.save(folder); });
}

void Trainer::roll_back(const std::string& folder) {
  Impl& impl = this->impl("Trainer::roll_back");
  guarded("Trainer::roll_back", [&] { impl.roll_back(folder); });
}

const TrainOptions& Trainer::options() const {
  return impl("Trainer::options").options();
}
const MemoryPlan& Trainer::plan() const {
  return impl("Trainer::plan").plan();
}
std::int64_t Trainer::steps_done() const {
  return impl("Trainer::steps_done").steps_done();
}
std::int64_t Trainer::last_update() const {
  return impl("Trainer::last_update").last_update();
}
std::int64_t Trainer::rollbacks() const {
  return impl("Trainer::rollbacks").rollbacks();
}

}  // namespace rheo
