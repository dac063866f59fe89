#pragma once

// What the lanes of a warp do together. Every lane named by a mask has to come to the same call.

#include <bit>
#include <cstring>
#include <type_traits>

#include "simt/scheduler.h"

namespace simt {

template <class T>
concept Shuffled = std::is_arithmetic_v<T> && sizeof(T) >= 4 && sizeof(T) <= 8;

template <Shuffled T>
T shuffle(unsigned mask, T value, unsigned source, Site site) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = warp_exchange(mask, Exchange::shuffle, bits, source, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// The first lane of the group of `width` lanes that this one is in.
inline unsigned group_of_lanes(int width) {
  return lane() & ~(static_cast<unsigned>(width) - 1);
}

}  // namespace simt

template <simt::Shuffled T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              simt::Site site = simt::Site::current()) {
  const unsigned within = static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1);
  return simt::shuffle(mask, value, simt::group_of_lanes(width) + within, site);
}

template <simt::Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 simt::Site site = simt::Site::current()) {
  const unsigned lane = simt::lane(), within = lane - simt::group_of_lanes(width);
  return simt::shuffle(mask, value, delta > within ? lane : lane - delta, site);
}

template <simt::Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   simt::Site site = simt::Site::current()) {
  const unsigned lane = simt::lane(), within = lane - simt::group_of_lanes(width);
  const bool stays = within + delta >= static_cast<unsigned>(width);
  return simt::shuffle(mask, value, stays ? lane : lane + delta, site);
}

template <simt::Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,
                  simt::Site site = simt::Site::current()) {
  const unsigned lane = simt::lane(), source = lane ^ static_cast<unsigned>(lanes);
  // Past the group is the lane's own value; before it is allowed (PTX, shfl.bfly).
  const unsigned end = simt::group_of_lanes(width) + static_cast<unsigned>(width);
  return simt::shuffle(mask, value, source < end ? source : lane, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              simt::Site site = simt::Site::current()) {
  return static_cast<unsigned>(
      simt::warp_exchange(mask, simt::Exchange::vote, predicate != 0, 0, site));
}
inline int __any_sync(unsigned mask, int predicate, simt::Site site = simt::Site::current()) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Site site = simt::Site::current()) {
  return __ballot_sync(mask, predicate == 0, site) == 0;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Site site = simt::Site::current()) {
  simt::warp_exchange(mask, simt::Exchange::sync, 0, 0, site);
}
