#pragma once

#include <string>

#include "cli/options.h"
#include "cli/settings.h"
#include "cli/train_data.h"
#include "cli/training.h"
#include "rheo/model.h"

namespace CLI {
class App;
}

namespace rheo::cli {

// Parts of a run's config.json, written when it begins and read when it is resumed.

Json data_record(const TrainData& flags, const OpenedData& data);

/// Fills what the command line leaves open. @throws CLI::ValidationError for --size and the like
/// without DATA.
void take_data_record(const std::string& path, const Json& config, TrainData& flags);

Json compute_record(const Compute& compute);

/// Fills what `app` was not given.
void take_compute_record(const std::string& path, const Json& config, const CLI::App& app,
                         ComputeFlags& flags);

Json routine_record(const Routine& routine);

/// Fills what `app` was not given.
void take_routine_record(const std::string& path, const Json& config, const CLI::App& app,
                         Routine& routine);

/// The object config[key]. @throws Error bad_file, naming `path`, where it is not there.
const Json& section(const std::string& path, const Json& config, const char* key);

/// As this process was called.
std::string command_line();

}  // namespace rheo::cli
