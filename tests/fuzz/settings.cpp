#include "cli/settings.h"

#include "tests/fuzz/target.h"

namespace rheo::fuzz {

/// The file of train's --config. Its messages may hold any key: the program escapes what is not
/// printable when it says them.
void settings(Bytes input) {
  static MemoryFile memory;
  const std::string& path = memory.holding({input});
  try {
    const cli::Sections sections = cli::read_config(path);
    const cli::Json known = {{"levels", 3}, {"batch", 4}, {"model", "glow"}};
    cli::overridden(path, known, sections.model);
    cli::overridden(path, known, sections.train);
  } catch (const Error& error) {
    require(error.code() == Errc::bad_file, error.what());
  }
}

}  // namespace rheo::fuzz
