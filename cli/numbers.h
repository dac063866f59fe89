#pragma once

namespace CLI {
class App;
}

namespace rheo::cli {

/// Has each numeric option of `app` take plain decimal numbers alone. CLI11 would read 010 as eight
/// and nothing as zero, and what is too large as the largest.
void require_plain_numbers(CLI::App& app);

}  // namespace rheo::cli
