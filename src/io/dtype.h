#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace rheo {

/// A safetensors element type and its size in bytes.
struct ElementType {
  std::string_view name;
  std::uint64_t size;
};

/// Every type of the format that is whole bytes wide.
inline constexpr std::array<ElementType, 15> kElementTypes = {{{"BOOL", 1},
                                                               {"U8", 1},
                                                               {"I8", 1},
                                                               {"F8_E5M2", 1},
                                                               {"F8_E4M3", 1},
                                                               {"I16", 2},
                                                               {"U16", 2},
                                                               {"F16", 2},
                                                               {"BF16", 2},
                                                               {"I32", 4},
                                                               {"U32", 4},
                                                               {"F32", 4},
                                                               {"I64", 8},
                                                               {"U64", 8},
                                                               {"F64", 8}}};

/// Zero where there is no such type.
constexpr std::uint64_t dtype_size(std::string_view name) {
  for (const ElementType& dtype : kElementTypes) {
    if (dtype.name == name) return dtype.size;
  }
  return 0;
}

}  // namespace rheo
