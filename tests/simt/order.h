#pragma once

#include <cstdint>
#include <string>

namespace simt {

/// A number below `count`: 0 going forward, the last one in reverse.
std::uint32_t choose(std::uint32_t count);

/// "forward", "reverse", "random:7".
std::string order_in_words();

}  // namespace simt
