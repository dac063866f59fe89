#pragma once

#include <optional>
#include <string>

#include "cli/options.h"
#include "cli/progress.h"
#include "cli/settings.h"
#include "rheo/config.h"
#include "rheo/dataset.h"

namespace rheo::cli {

/// What `train` reads: DATA, and what of it or beside it is held back for testing.
struct TrainData {
  DataFlags data;
  std::string test;
  std::string test_labels;
  std::int64_t held_out = 0;
};

struct OpenedData {
  Dataset train;
  std::optional<Dataset> test;
  int classes;  ///< Of DATA before some were held out, which may be all of the last class.
  std::string labels_file;  ///< Of DATA; empty where labels came with the images.

  const Dataset* tested_on() const { return test ? &*test : nullptr; }
};

/// @throws Stopped where a signal came meanwhile.
OpenedData open_train_data(const TrainData& flags, ProgressLine& progress);

/// The model section that holds for such data unless told: Glow for images, RealNVP for vectors, or
/// the defaults of the family that `said` names. @throws Error where it does not take such data.
Json model_defaults(const std::string& path, const Dataset& data, const Json& said);

/// The training section likewise.
Json train_defaults(const Dataset& data);

/// Throws where `said` has a key that the models of `defaults` lack, naming its flag if `app` was
/// given it, else `who`.
void require_known_to_model(const CLI::App& app, const std::string& who, const Json& said,
                            const Json& defaults);

/// `model` with size and channels of the data and, if `conditional`, its classes; keys in `fixed`
/// must agree with the data instead. @throws Error where data and model do not go together.
ModelConfig model_for(const TrainData& flags, const OpenedData& data, Json model, const Json& fixed,
                      bool conditional);

}  // namespace rheo::cli
