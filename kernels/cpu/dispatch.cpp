#include <omp.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <new>
#include <string>
#include <unordered_map>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/scratch.h"
#include "rheo/error.h"

namespace rheo::cpu {

namespace {

/// Whether threads sleep while they wait for one another, as OpenMP's runtime was told before it
/// began. It has no call that says so. GOMP_SPINCOUNT, which is finer, is not asked.
bool threads_sleep() {
  const char* policy = std::getenv("OMP_WAIT_POLICY");
  return policy && strcasecmp(policy, "passive") == 0;
}

/// Large memory is the system's own and goes back to it when it is released: malloc would keep it.
constexpr std::size_t kLarge = 1 << 20;

/// From here on the system is asked whether it has so much: it promises more, and ends the process
/// that then uses it.
constexpr std::size_t kAsked = 64 << 20;

std::mutex mutex;

/// Bytes of what is mapped, by address.
std::unordered_map<void*, std::size_t>& mapped() {
  // Never destroyed: memory may outlive the order in which static objects go.
  static auto* const all = new std::unordered_map<void*, std::size_t>;
  return *all;
}

}  // namespace

std::int64_t least_shared_work = std::int64_t{1} << (threads_sleep() ? 22 : 18);

void* allocate(std::size_t bytes) {
  if (bytes < kLarge) return std::aligned_alloc(64, (bytes / 64 + 1) * 64);
  if (bytes >= kAsked && bytes > free_bytes()) return nullptr;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // Weights and activations are read from end to end: in small pages, looking these up costs up to
  // a tenth of the time. Where the system has no large ones, small ones do.
  madvise(memory, bytes, MADV_HUGEPAGE);
  try {
    const std::lock_guard lock(mutex);
    mapped()[memory] = bytes;
  } catch (const std::bad_alloc&) {
    munmap(memory, bytes);
    return nullptr;
  }
  return memory;
}

void release(void* memory) {
  std::size_t bytes = 0;
  {
    const std::lock_guard lock(mutex);
    const auto found = mapped().find(memory);
    if (found != mapped().end()) bytes = found->second, mapped().erase(found);
  }
  bytes ? static_cast<void>(munmap(memory, bytes)) : std::free(memory);
}

/// What Linux says it can give without swapping, which counts what files have been cached in.
std::size_t free_bytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key, unit;
  for (std::size_t kibibytes; meminfo >> key >> kibibytes; std::getline(meminfo, unit))
    if (key == "MemAvailable:") return kibibytes * 1024;
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

void copy(void* to, const void* from, std::size_t bytes, Stream) {
  if (bytes) std::memcpy(to, from, bytes);
}

void clear(void* memory, std::size_t bytes, Stream) {
  if (bytes) std::memset(memory, 0, bytes);
}

int set_threads(int threads) {
  const int before = omp_get_max_threads();
  // oneDNN cuts its work for as many as are set: where fewer come, a part of it would not be done.
  omp_set_num_threads(std::min(threads, omp_get_thread_limit()));
  return before;
}

void no_room(std::size_t bytes) {
  throw Error(Errc::out_of_memory,
              "cpu: no room for " + std::to_string(bytes) + " bytes of work space");
}

bool has_bf16() {
#ifdef __x86_64__
  return __builtin_cpu_supports("avx512bf16") && products_have_bf16();
#else
  return false;
#endif
}

std::string described(const char* variant) {
  constexpr const char* kNames[] = {"baseline", "avx2", "avx512", "amx"};  // as Products has them
  const std::string own = variant, products = kNames[static_cast<int>(products_run_on())];
  return own == products ? own : own + " with " + products + " products";
}

namespace {

bool runs_baseline() {
  return true;
}
#ifdef __x86_64__
bool runs_avx2() {
  return __builtin_cpu_supports("x86-64-v3");
}
bool runs_avx512() {
  return __builtin_cpu_supports("x86-64-v4");
}
#endif

}  // namespace

int variants(const Backend* (&found)[kMaxVariants]) {
  int count = 0;
#define RHEO_CPU_VARIANT(isa) \
  if (runs_##isa()) found[count++] = &isa::backend;
#include "kernels/cpu/variants.def"
#undef RHEO_CPU_VARIANT
  return count;
}

}  // namespace rheo::cpu

namespace rheo {

const Backend& cpu_backend() {
  static const Backend* const widest = [] {
    const Backend* found[cpu::kMaxVariants];
    return found[cpu::variants(found) - 1];
  }();
  return *widest;
}

}  // namespace rheo
