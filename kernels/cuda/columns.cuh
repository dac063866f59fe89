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
constexpr int kSeenFloats = kMaxSeenRows * sizeof(SeenRow) / sizeof(float);

/// All rows that a tile writes to.
struct SeenRows {
  const SeenRow* rows;
  int count;
  int own;  // place of the tile's first pixel
};

/// How a block's threads are dealt to the rows of a matrix: so many side by side, each with
/// `chunk` columns, and so many rows at a time.
struct RowDeal {
  int chunks, across, down;
  Divisor by_across;

  RowDeal(int stride, int chunk, int threads)
      : chunks(stride / chunk),
        across(chunks < threads ? chunks : threads),
        down(across ? threads / across : 0),
        by_across(across) {}
};

/// Bits of the taps in one line that see pixels 0 to `count` - 1 of the tile, where the middle one
/// sees pixel `middle`.
template <int kSign>
__device__ __forceinline__ unsigned near_bits(int middle, int count) {
  const int first = min(max(1 - middle, 0), 3), end = min(max(count + 1 - middle, 0), 3);
  return kSign > 0 ? (1u << end) - (1u << first) : (8u >> first) - (8u >> end);
}

template <int kSign>
__device__ __forceinline__ unsigned seen_bits(const Images& images, const Tile& tile, int at) {
  const int pixel = tile.first + at, line = kSign * images.width;
  if (pixel < 0 || pixel >= images.pixels) return 0;
  const bool own = at >= 0 && at < tile.count;
  const unsigned inside = taps_inside<kSign>(images, pixel);
  const unsigned near = near_bits<kSign>(at - line, tile.count) |
                        near_bits<kSign>(at, tile.count) << 3 |
                        near_bits<kSign>(at + line, tile.count) << 6;
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
  for (int r = thread(); r < count; r += threads()) {
    const int at = one ? first + r : first + r / stretch * width + r % stretch;
    rows[r] = {at, seen_bits<kSign>(images, tile, at)};
  }
  return {rows, count, one ? -first : stretch + 1};
}

/// The matrix: value c of the pixel that a row sees as tap t stands in column t * channels + c,
/// zero where the tap is outside the image and behind the taps, but for Columns' constant columns.
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
  static constexpr unsigned kOne = sizeof(T) == 4 ? 0x3f800000u : 0x3f80u;  // 1, in the low bits
};

/// Bit b: column b behind the taps is one.
__device__ __forceinline__ unsigned ones_of(int taps, bool edge, unsigned bits) {
  const unsigned outside = taps == 1 ? 0u : ~bits & kAllTaps;
  return 1u | (edge ? outside << 1 : 0u);
}

/// Columns of U as bits say: one where a bit is set.
template <class U, int kWords>
__device__ __forceinline__ Vector<typename U::Word, kWords> constants(unsigned ones) {
  Vector<typename U::Word, kWords> words;
#pragma unroll
  for (int w = 0; w < kWords; ++w) {
    unsigned word = 0;
#pragma unroll
    for (int i = 0; i < U::kInWord; ++i)
      word |= (ones >> (w * U::kInWord + i) & 1u ? U::kOne : 0u) << (16 * i);
    words.at[w] = static_cast<typename U::Word>(word);
  }
  return words;
}

/// Where a unit of columns comes from.
template <class T>
struct UnitSource {
  unsigned tap;  // bit t; bit kNoTap: it is constant
  const T* at;   // first value, were the row's pixel the tile's first
};

/// Of the units of the chunk from `column` on, each of one tap.
template <int kSign, int kUnit, class T, int kUnits>
__device__ __forceinline__ unsigned find_sources(const Matrix<T>& to, const T* values, int column,
                                                 int width, UnitSource<T> (&from)[kUnits]) {
  int t = static_cast<int>(static_cast<unsigned>(column) / static_cast<unsigned>(to.channels));
  int within = column - t * to.channels;
  unsigned taps = 0;
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    const int tap = t >= to.taps ? kNoTap : to.taps == 1 ? 4 : t;
    from[u] = {1u << tap, values + offset_of<kSign>(tap, width) * to.channels + within};
    taps |= from[u].tap;
    within += kUnit;
    if (within == to.channels) within = 0, ++t;
  }
  return taps;
}

/// Stores those units of a chunk that are the tile's. Bit t of `mine`: tap t is.
template <int kUnits, class Word, int kWords, class T>
__device__ __forceinline__ void store_mine(Word* to, const Vector<Word, kWords>& all,
                                           const UnitSource<T> (&from)[kUnits], unsigned mine) {
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
                                             const RowDeal& deal, const T* values, int width) {
  using U = Unit<T, kUnit>;
  using Word = typename U::Word;
  constexpr int kUnits = kChunk / kUnit;
  constexpr int kWords = kUnits * U::kWords;
  const int first = static_cast<int>(deal.by_across.quotient(threadIdx.x));
  if (first >= deal.down) return;
  const std::int64_t pitch = to.stride * static_cast<int>(sizeof(T));
#pragma unroll 1
  for (int chunk = thread() - first * deal.across; chunk < deal.chunks; chunk += deal.across) {
    const int column = chunk * kChunk;
    UnitSource<T> from[kUnits];
    const unsigned taps = find_sources<kSign, kUnit>(to, values, column, width, from);
    const int behind = column - to.taps * to.channels;  // the taps; less than 0: so many are taps'
    Vector<Word, kWords> fixed = {};
    if (kConstants)
#pragma unroll
      for (int w = 0; w < kWords; ++w)
        if (behind + w * U::kInWord == 0) fixed.at[w] = static_cast<Word>(U::kOne);
    const bool edges = kConstants && to.edge && behind > -kChunk;
    char* const place = reinterpret_cast<char*>(to.data + column);
#pragma unroll 1
    for (int r = first; r < seen.count; r += deal.down) {
      const SeenRow row = seen.rows[r];
      const unsigned mine = row.bits >> kMineBits, held = row.bits >> kValueBits;
      if ((mine & taps) == 0) continue;
      Vector<Word, kWords> all = fixed;
      if (edges) {
        const unsigned ones = ones_of(to.taps, true, row.bits);
        all = constants<U, kWords>(behind < 0 ? ones << -behind : ones >> behind);
      }
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        if ((held & from[u].tap) == 0) continue;
        const T* value = from[u].at + row.at * to.channels;
        const auto unit = load<U::kWords>(reinterpret_cast<const Word*>(value));
#pragma unroll
        for (int w = 0; w < U::kWords; ++w) all.at[u * U::kWords + w] = unit.at[w];
      }
      Word* at = reinterpret_cast<Word*>(place + row.at * pitch);
      if ((mine & taps) == taps)
        store(at, all);
      else
        store_mine(at, all, from, mine);
    }
  }
}

/// Columns that are stored as one where all rows start on 16 bytes.
template <class T>
constexpr int kRowChunk = 16 / static_cast<int>(sizeof(T));

/// `values` [tile.count, channels] in shared memory into all rows that see them, kRowChunk columns
/// at a time or, unless `aligned`, one. `kConstants`: with Columns' constant columns.
template <int kSign, bool kConstants, class T>
__device__ __forceinline__ void write_rows(const Matrix<T>& to, const SeenRows& seen,
                                           const RowDeal& deal, const T* values, int width,
                                           bool aligned) {
  constexpr int kMost = kRowChunk<T>;
  if (!aligned)
    write_chunks<kSign, kConstants, 1, 1>(to, seen, deal, values, width);
  else if (to.channels % kMost == 0)
    write_chunks<kSign, kConstants, kMost, kMost>(to, seen, deal, values, width);
  else if (to.channels % 4 == 0)
    write_chunks<kSign, kConstants, kMost, 4>(to, seen, deal, values, width);
  else if (to.channels % 2 == 0)
    write_chunks<kSign, kConstants, kMost, 2>(to, seen, deal, values, width);
  else
    write_chunks<kSign, kConstants, kMost, 1>(to, seen, deal, values, width);
}

}  // namespace rheo::cuda
