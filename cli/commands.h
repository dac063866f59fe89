#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace rheo::cli {

/// What a command does once its options are parsed; returns the exit code.
using Run = std::function<int()>;

// Each adds its options to the subcommand that it is given. The values live in what is returned.
Run add_train(CLI::App& app);
Run add_sample(CLI::App& app);
Run add_score(CLI::App& app);
Run add_encode(CLI::App& app);
Run add_decode(CLI::App& app);
Run add_interpolate(CLI::App& app);
Run add_reconstruct(CLI::App& app);
Run add_info(CLI::App& app);
Run add_toy(CLI::App& app);
Run add_verify(CLI::App& app);

}  // namespace rheo::cli
