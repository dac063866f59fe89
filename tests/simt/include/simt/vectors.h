#pragma once

// The vector types, with the alignment they have on the device.

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

#define SIMT_VECTOR2(T, name, alignment) \
  struct alignas(alignment) name {       \
    T x, y;                              \
  };                                     \
  constexpr name make_##name(T x, T y) { \
    return {x, y};                       \
  }
#define SIMT_VECTOR4(T, name, alignment)           \
  struct alignas(alignment) name {                 \
    T x, y, z, w;                                  \
  };                                               \
  constexpr name make_##name(T x, T y, T z, T w) { \
    return {x, y, z, w};                           \
  }

SIMT_VECTOR2(float, float2, 8)
SIMT_VECTOR2(double, double2, 16)
SIMT_VECTOR2(int, int2, 8)
SIMT_VECTOR2(unsigned, uint2, 8)
SIMT_VECTOR2(unsigned short, ushort2, 4)
SIMT_VECTOR4(float, float4, 16)
SIMT_VECTOR4(int, int4, 16)
SIMT_VECTOR4(unsigned, uint4, 16)
SIMT_VECTOR4(unsigned short, ushort4, 8)
SIMT_VECTOR4(unsigned char, uchar4, 4)

#undef SIMT_VECTOR2
#undef SIMT_VECTOR4

constexpr uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
  return {x, y, z};
}
