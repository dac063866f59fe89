// What machine.h makes of values, against the PTX ISA: by literals, or bit by bit as it says there.

#include "tests/ptx/machine.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <random>

namespace ptx {
namespace {

constexpr f32 kInf = std::numeric_limits<f32>::infinity();
constexpr f32 kNan = std::numeric_limits<f32>::quiet_NaN();
constexpr s32 kLeast = std::numeric_limits<s32>::min();

u32 bits(f32 x) {
  return std::bit_cast<u32>(x);
}
u64 bits(f64 x) {
  return std::bit_cast<u64>(x);
}

TEST(Machine, RegistersHoldBits) {
  u32 word = 0;
  put(word, s8{-2});
  EXPECT_EQ(word, 0xfffffffeu);
  put(word, u8{0xfe});
  EXPECT_EQ(word, 0xfeu);
  put(word, 1.f);
  EXPECT_EQ(word, 0x3f800000u);
  u64 wide = 0;
  put(wide, s32{-1});
  EXPECT_EQ(wide, ~u64{0});
  EXPECT_EQ(as<s16>(u32{0x1ffff}), -1);
  EXPECT_EQ(as<f32>(u32{0xc0000000}), -2.f);
  EXPECT_EQ(pack(u32{1}, u32{2}), 0x200000001u);
  EXPECT_EQ(pack(u16{1}, u16{2}), 0x20001u);
  u16 low = 0, high = 0;
  unpack(u32{0x12345678}, low, high);
  EXPECT_EQ(low, 0x5678);
  EXPECT_EQ(high, 0x1234);
}

TEST(Machine, IntegersWrap) {
  EXPECT_EQ(add_(s32{0x7fffffff}, s32{1}), kLeast);
  EXPECT_EQ(sub_(u32{0}, u32{1}), 0xffffffffu);
  EXPECT_EQ(mul_lo_(s32{0x10001}, s32{0x10001}), 0x20001);
  EXPECT_EQ(mul_lo_(u16{0xffff}, u16{0xffff}), 1);
  EXPECT_EQ(mad_lo_(s32{-3}, s32{5}, s32{7}), -8);
  EXPECT_EQ(neg_(kLeast), kLeast);
  EXPECT_EQ(abs_(kLeast), kLeast);
  EXPECT_EQ(abs_(s64{-5}), 5);
}

TEST(Machine, ProductsInFull) {
  EXPECT_EQ(mul_hi_(s32{-7}, s32{0x7fffffff}), -4);
  EXPECT_EQ(mul_hi_(~u32{0}, ~u32{0}), 0xfffffffeu);
  EXPECT_EQ(mul_wide_(s32{-2}, s32{3}), -6);
  EXPECT_EQ(mul_wide_(~u32{0}, ~u32{0}), 0xfffffffe00000001u);
  EXPECT_EQ(mul_wide_(s16{-300}, s16{300}), -90000);
  EXPECT_EQ(mul_wide_(u16{0xffff}, u16{0xffff}), 0xfffe0001u);
}

TEST(Machine, DivisionGoesTowardsZero) {
  EXPECT_EQ(div_(s32{-7}, s32{2}), -3);
  EXPECT_EQ(rem_(s32{-7}, s32{2}), -1);
  EXPECT_EQ(rem_(s32{7}, s32{-2}), 1);
  EXPECT_EQ(div_(u32{0xfffffff9}, u32{2}), 0x7ffffffcu);
  EXPECT_EQ(div_(kLeast, s32{-1}), kLeast);
  EXPECT_EQ(rem_(kLeast, s32{-1}), 0);
  EXPECT_EQ(div_(u32{7}, ~u32{0}), 0u);
  EXPECT_EQ(rem_(u32{7}, ~u32{0}), 7u);
}

TEST(Machine, ShiftsByTheWidthAndMore) {
  EXPECT_EQ(shl_(u32{1}, 31), 0x80000000u);
  EXPECT_EQ(shl_(u32{1}, 32), 0u);
  EXPECT_EQ(shl_(u16{0xffff}, 4), 0xfff0);
  EXPECT_EQ(shr_(u32{0x80000000}, 31), 1u);
  EXPECT_EQ(shr_(u32{0x80000000}, 32), 0u);
  EXPECT_EQ(shr_(s32{-8}, 1), -4);
  EXPECT_EQ(shr_(s32{-8}, 40), -1);
  EXPECT_EQ(shr_(s64{8}, 64), 0);
}

/// Bit by bit, as the ISA has it.
template <class T>
T inserted(T a, T into, T at, T count) {
  for (u32 i = 0; i < (count & 0xff) && (at & 0xff) + i < 8 * sizeof(T); ++i) {
    const u32 to = (at & 0xff) + i;
    into = (into & ~(T{1} << to)) | ((a >> i & 1) << to);
  }
  return into;
}

TEST(Machine, BitFields) {
  EXPECT_EQ(bfi_(u32{0xab}, u32{0x12345678}, u32{8}, u32{8}), 0x1234ab78u);
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const u64 a = random(), into = random(), at = random() % 300, count = random() % 300;
    ASSERT_EQ(bfi_(a, into, at, count), inserted(a, into, at, count)) << at << ' ' << count;
    const u32 narrow = bfi_<u32>(a, into, at, count);
    ASSERT_EQ(narrow, inserted<u32>(a, into, at, count)) << at << ' ' << count;
  }
}

TEST(Machine, BytesPermuted) {
  EXPECT_EQ(prmt_(0x33221100, 0x77665544, 0x7531), 0x77553311u);
  EXPECT_EQ(prmt_(0x33221100, 0x77665544, 0x0123), 0x00112233u);
  EXPECT_EQ(prmt_(0x00007f80, 0, 0x0098), 0x808000ffu);  // of byte 0 the sign, then of byte 1
}

TEST(Machine, LeastAndMost) {
  EXPECT_EQ(min_(s32{-1}, s32{1}), -1);
  EXPECT_EQ(min_(~u32{0}, u32{1}), 1u);
  EXPECT_EQ(max_(s32{-1}, s32{1}), 1);
  EXPECT_EQ(min_(kNan, 1.f), 1.f);
  EXPECT_EQ(max_(1.f, kNan), 1.f);
  EXPECT_EQ(bits(min_(0.f, -0.f)), 0x80000000u);
  EXPECT_EQ(bits(min_(-0.f, 0.f)), 0x80000000u);
  EXPECT_EQ(bits(max_(0.f, -0.f)), 0u);
  EXPECT_EQ(bits(max_(-0., 0.)), 0u);
  EXPECT_EQ(bits(abs_(-0.f)), 0u);
  EXPECT_EQ(bits(neg_(0.f)), 0x80000000u);
  EXPECT_EQ(copysign_(-1.f, 2.f), -2.f);
}

TEST(Machine, ComparisonsOfNan) {
  EXPECT_FALSE(setp_lt(kNan, 1.f) || setp_ge(kNan, 1.f) || setp_eq(kNan, kNan));
  EXPECT_FALSE(setp_ne(kNan, 1.f));
  EXPECT_TRUE(setp_ltu(kNan, 1.f) && setp_geu(1.f, kNan) && setp_equ(kNan, 1.f));
  EXPECT_TRUE(setp_neu(kNan, kNan));
  EXPECT_TRUE(setp_ne(1.f, 2.f) && !setp_ltu(2.f, 1.f) && !setp_neu(1.f, 1.f));
}

TEST(Machine, RoundedOnce) {
  EXPECT_EQ(fma_rn_(1 + 0x1p-12f, 1 + 0x1p-12f, -(1 + 0x1p-11f)), 0x1p-24f);
  EXPECT_EQ(fma_rm_(1.f, 1.f, 0x1p-30f), 1.f);
  EXPECT_EQ(fma_rm_(1.f, 1.f, -0x1p-30f), 1 - 0x1p-24f);
  EXPECT_EQ(fma_rm_(-1.f, 1.f, -0x1p-30f), -1 - 0x1p-23f);
  EXPECT_EQ(bits(fma_rm_(1.f, 1.f, -1.f)), 0x80000000u);
  EXPECT_EQ(std::fegetround(), FE_TONEAREST);
}

TEST(Machine, ApproximationsFlush) {
  EXPECT_EQ(bits(ex2_approx_ftz_(-127.f)), 0u);
  EXPECT_EQ(ex2_approx_ftz_(3.f), 8.f);
  EXPECT_EQ(rcp_approx_ftz_(-0x1p-130f), -kInf);
  EXPECT_EQ(bits(rcp_approx_ftz_(0x1p127f)), 0u);
  EXPECT_EQ(rcp_approx_ftz_(1e-310), f64{kInf});
  EXPECT_EQ(bits(rcp_approx_ftz_(1.7e308)), 0u);
  EXPECT_EQ(rcp_approx_ftz_(std::bit_cast<f64>(0x3ff00000ffffffffu)), 1.);
  EXPECT_EQ(bits(rcp_approx_ftz_(3.)), 0x3fd5555500000000u);
}

TEST(Machine, ConversionsSaturate) {
  EXPECT_EQ(cvt_rzi<s32>(-1.9f), -1);
  EXPECT_EQ(cvt_rzi<s32>(1e20f), 2147483647);
  EXPECT_EQ(cvt_rzi<s32>(-kInf), kLeast);
  volatile f32 above = 0x1p31f;  // not folded: the compiler's own conversion of it saturates
  EXPECT_EQ(cvt_rzi<s32>(f32{above}), 2147483647);
  EXPECT_EQ(cvt_rzi<u32>(-1.f), 0u);
  EXPECT_EQ(cvt_rzi<u32>(4294967296.f), 0xffffffffu);
  EXPECT_EQ(cvt_rzi<s32>(2147483647.5), 2147483647);
  EXPECT_EQ(cvt_rzi<u16>(65536.f), 0xffff);
  EXPECT_EQ(cvt_rzi<s64>(0x1p63f), 0x7fffffffffffffff);
  EXPECT_EQ(cvt_rzi<s32>(kNan), 0);
  EXPECT_EQ(cvt_rzi<u64>(kNan), 0x8000000000000000u);
  EXPECT_EQ(cvt_rzi<u32>(f64{kNan}), 0x80000000u);
  EXPECT_EQ(bits(cvt_rzi<f32>(-0.5f)), 0x80000000u);
  EXPECT_EQ(cvt_sat<f32>(kNan), 0.f);
  EXPECT_EQ(cvt_sat<f32>(2.f), 1.f);
  EXPECT_EQ(cvt_sat<f32>(0.25f), 0.25f);
  EXPECT_EQ(cvt_rn<f32>(u32{0x1000001}), 0x1p24f);  // a tie, to even
  EXPECT_EQ(cvt_rn<f32>(1 + 0x3p-25), 1 + 0x1p-23f);
  EXPECT_EQ(cvt_plain<s64>(s32{-1}), -1);
  EXPECT_EQ(cvt_plain<u8>(u32{0x1ff}), 0xff);
  EXPECT_EQ(bf16_of(1 + 0x1p-8f), 0x3f80);
  EXPECT_EQ(bf16_of(1 + 0x3p-8f), 0x3f82);
  EXPECT_EQ(bf16_of(3.4e38f), 0x7f80);
  EXPECT_EQ(bf16_of(-kNan), 0x7fff);
  EXPECT_EQ(of_bf16(0xc040), -3.f);
}

}  // namespace
}  // namespace ptx
