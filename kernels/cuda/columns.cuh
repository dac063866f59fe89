#pragma once

// Rows of a matrix in which each pixel holds what it sees through its taps. A tile writes its own
// values into the rows of all pixels that see them, and the rest of its own pixels' rows, so that
// every place has one writer.

#include <type_traits>

#include "kernels/cuda/dtype.cuh"
#include "kernels/cuda/tile.cuh"

namespace rheo::cuda {

/// What a tile has to do with one row.
struct SeenRow {
  int at;  // its pixel, counted from the tile's first
  // 0 to 8: that tap lies inside the image; 9 to 17: what stands there is the tile's to write;
  // 18: the row's pixel is the tile's; 19 to 27: what stands there is one of the tile's values; 28:
  // never set. So what is behind the taps counts as a tenth (kNoTap) that is no value.
  unsigned bits;
};
constexpr int kMineBits = 9;
constexpr int kValueBits = 19;
constexpr int kNoTap = 9;
constexpr int kOwnBit = kMineBits + kNoTap;

constexpr int kMaxSeenRows = 3 * (kTilePixels + 2);

/// All rows that a tile writes to.
struct SeenRows {
  const SeenRow* rows;
  int count;
  int own;  // place of the tile's first pixel
};

template <int kSign>
__device__ __forceinline__ unsigned seen_bits(const Images& images, const Tile& tile, int at) {
  const int pixel = tile.first + at;
  if (pixel < 0 || pixel >= images.pixels) return 0;
  const bool own = at >= 0 && at < tile.count;
  const unsigned inside = taps_inside<kSign>(images, pixel);
  unsigned near = 0;
#pragma unroll
  for (int t = 0; t < 9; ++t) {
    const int source = at + offset_of<kSign>(t, images.width);
    if (source >= 0 && source < tile.count) near |= 1u << t;
  }
  const unsigned values = inside & near, zeros = own ? ~inside & kAllTaps : 0u;
  return inside | (values | zeros) << kMineBits | (own ? 1u << kOwnBit : 0u) | values << kValueBits;
}

/// Fills a block's [kMaxSeenRows]; the caller's next barrier makes them readable.
template <int kSign>
__device__ __forceinline__ SeenRows find_rows(const Images& images, const Tile& tile,
                                              SeenRow* rows) {
  // Three stretches, of the lines above, of the tile and below; one where they touch or overlap.
  const int width = images.width, stretch = tile.count + 2;
  const bool one = width <= stretch;
  const int first = one ? max(-tile.first, -width - 1) : -width - 1;
  const int last = min(images.pixels - tile.first, tile.count + width + 1);
  const int count = one ? last - first : 3 * stretch;
#pragma unroll 1
  for (int r = thread(); r < count; r += kTileThreads) {
    const int at = one ? first + r : first + r / stretch * width + r % stretch;
    rows[r] = {at, seen_bits<kSign>(images, tile, at)};
  }
  return {rows, count, one ? -first : stretch + 1};
}

/// The matrix: value c of the pixel that a row sees as tap t stands in column t * channels + c,
/// zero where the tap is outside the image.
template <class T>
struct Matrix {
  T* data;  // the row of the tile's first pixel
  int stride;
  int taps, channels;
  bool edge;  // among the constant columns, where there are some (see Columns)
};

/// `kCount` columns as they lie in memory: words, so that halves of a word are not taken apart.
template <class T, int kCount>
struct Unit {
  static constexpr int kBytes = sizeof(T) * kCount;
  using Word = std::conditional_t<kBytes % 4 == 0, unsigned, unsigned short>;
  static constexpr int kWords = kBytes / static_cast<int>(sizeof(Word));
  static constexpr int kInWord = kCount / kWords;
};

/// Bit b: column b behind the taps is one.
__device__ __forceinline__ unsigned ones_of(int taps, bool edge, unsigned bits) {
  const unsigned outside = taps == 1 ? 0u : ~bits & kAllTaps;
  return 1u | (edge ? outside << 1 : 0u);
}

/// `kCount` columns, one where the bit is set.
template <class T, int kCount>
__device__ __forceinline__ Vector<typename Unit<T, kCount>::Word, Unit<T, kCount>::kWords>
constants(unsigned ones) {
  using U = Unit<T, kCount>;
  constexpr unsigned kOne = sizeof(T) == 4 ? 0x3f800000u : 0x3f80u;  // 1 as float and as bfloat16
  Vector<typename U::Word, U::kWords> words;
#pragma unroll
  for (int w = 0; w < U::kWords; ++w) {
    unsigned word = 0;
#pragma unroll
    for (int i = 0; i < U::kInWord; ++i)
      word |= (ones >> (w * U::kInWord + i) & 1u ? kOne : 0u) << (16 * i);
    words.at[w] = static_cast<typename U::Word>(word);
  }
  return words;
}

/// Where a unit of columns comes from.
struct UnitSource {
  unsigned tap;  // bit t; bit kNoTap: it is constant
  int at;        // first value, counted from those of the row's pixel
};

template <int kSign, class T>
__device__ __forceinline__ UnitSource source_of(const Matrix<T>& to, int column, int width) {
  const int t = static_cast<int>(static_cast<unsigned>(column) / to.channels);
  const int tap = t >= to.taps ? kNoTap : to.taps == 1 ? 4 : t;
  return {1u << tap, (offset_of<kSign>(tap, width) - t) * to.channels + column};
}

/// Stores those units of a chunk that are the tile's. Bit t of `mine`: tap t is.
template <int kUnits, class Word, int kWords>
__device__ __forceinline__ void store_mine(Word* to, const Vector<Word, kWords>& all,
                                           const UnitSource (&from)[kUnits], unsigned mine) {
  constexpr int kEach = kWords / kUnits;
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    Vector<Word, kEach> unit;
#pragma unroll
    for (int w = 0; w < kEach; ++w) unit.at[w] = all.at[u * kEach + w];
    if (mine & from[u].tap) store(to + u * kEach, unit);
  }
}

/// A thread writes the same `kChunk` columns of several rows. They are made of units of `kUnit`,
/// each of one tap; where all are the tile's they are stored as one.
template <int kSign, bool kConstants, int kChunk, int kUnit, class T>
__device__ __forceinline__ void write_chunks(const Matrix<T>& to, const SeenRows& seen,
                                             const T* values, int width) {
  using U = Unit<T, kUnit>;
  using Word = typename U::Word;
  constexpr int kUnits = kChunk / kUnit;
  const unsigned chunks = static_cast<unsigned>(to.stride) / kChunk;
  const unsigned across = min(chunks, unsigned{kTileThreads}), down = kTileThreads / across;
  const unsigned first = threadIdx.x / across;
  if (first >= down) return;
#pragma unroll 1
  for (unsigned chunk = threadIdx.x - first * across; chunk < chunks; chunk += across) {
    const int column = static_cast<int>(chunk) * kChunk;
    UnitSource from[kUnits];
    unsigned taps = 0;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      from[u] = source_of<kSign>(to, column + u * kUnit, width);
      taps |= from[u].tap;
    }
    const int behind = column - to.taps * to.channels;  // the taps; less than 0: so many are taps'
    const auto constants_of = [&](unsigned bits) {
      const unsigned ones = ones_of(to.taps, to.edge, bits);
      const unsigned here = behind < 0 ? ones << -behind : ones >> behind;
      Vector<Word, kUnits * U::kWords> all;
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        const auto unit = constants<T, kUnit>(here >> (u * kUnit));
#pragma unroll
        for (int w = 0; w < U::kWords; ++w) all.at[u * U::kWords + w] = unit.at[w];
      }
      return all;
    };
    const bool has_constants = kConstants && behind > -kChunk;
    Vector<Word, kUnits* U::kWords> fixed = {};
    if (has_constants) fixed = constants_of(kAllTaps);
#pragma unroll 1
    for (int r = static_cast<int>(first); r < seen.count; r += static_cast<int>(down)) {
      const SeenRow row = seen.rows[r];
      const unsigned mine = row.bits >> kMineBits, held = row.bits >> kValueBits;
      if ((mine & taps) == 0) continue;
      const T* own = values + row.at * to.channels;
      auto all = fixed;
      if (has_constants && to.edge) all = constants_of(row.bits);
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        if ((held & from[u].tap) == 0) continue;
        const auto unit = load<U::kWords>(reinterpret_cast<const Word*>(own + from[u].at));
#pragma unroll
        for (int w = 0; w < U::kWords; ++w) all.at[u * U::kWords + w] = unit.at[w];
      }
      // An int is enough: no row is further away than a line and the tile.
      auto* at = reinterpret_cast<Word*>(to.data + (row.at * to.stride + column));
      if ((mine & taps) == taps)
        store(at, all);
      else
        store_mine(at, all, from, mine);
    }
  }
}

/// `values` [tile.count, channels] in shared memory into all rows that see them. `kConstants`: with
/// Columns' constant columns, and the stride that goes with them.
template <int kSign, bool kConstants, class T>
__device__ __forceinline__ void write_rows(const Matrix<T>& to, const SeenRows& seen,
                                           const T* values, int width, bool aligned) {
  constexpr int kMost = 16 / static_cast<int>(sizeof(T));
  if (!aligned)
    write_chunks<kSign, kConstants, 1, 1>(to, seen, values, width);
  else if (to.channels % kMost == 0)
    write_chunks<kSign, kConstants, kMost, kMost>(to, seen, values, width);
  else if (to.channels % 4 == 0)
    write_chunks<kSign, kConstants, kConstants ? kMost : 4, 4>(to, seen, values, width);
  else if (to.channels % 2 == 0)
    write_chunks<kSign, kConstants, kConstants ? kMost : 2, 2>(to, seen, values, width);
  else
    write_chunks<kSign, kConstants, kConstants ? kMost : 1, 1>(to, seen, values, width);
}

}  // namespace rheo::cuda
