#pragma once

#include <cstddef>
#include <memory>
#include <string>

struct XXH3_state_s;

namespace rheo {

/// XXH3-128 of bytes that come in parts. It finds damage; it is no proof against forgery.
class ContentHash {
 public:
  ContentHash();
  void add(const void* bytes, std::size_t count);

  /// 32 hexadecimal digits, the high ones first, as `xxhsum -H2` has them.
  std::string digits() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const noexcept;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace rheo
