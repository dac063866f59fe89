#include "kernels/cpu/products.h"

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "rheo/error.h"

namespace rheo::cpu {

struct CompiledProduct {
  std::int64_t rows;
  dnnl::memory::desc a, b, bias, c, scratch;
  bool has_bias;
  dnnl::matmul primitive;
};

struct CompiledPacking {
  dnnl::memory::desc from, to, scratch;
  dnnl::reorder primitive;
};

namespace {

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::memory::data_type type_of(Dtype type) {
  return type == Dtype::f32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

struct HashProduct {
  std::size_t operator()(const Product& p) const {
    std::size_t hash = 0;
    for (std::int64_t v : {p.m, p.n, p.k, p.a_row, p.a_col, p.b_row, p.b_col, p.c_row,
                           std::int64_t(p.type), std::int64_t(p.c_type), std::int64_t(p.b_packed),
                           std::int64_t(p.bias), std::int64_t(p.relu), std::int64_t(p.accumulate)})
      hash = hash * 1000003 ^ static_cast<std::size_t>(v);
    return hash;
  }
};

dnnl::primitive_attr attributes(const Product& p) {
  dnnl::primitive_attr attributes;
  // The library's own scratchpad is shared between threads in some builds of oneDNN.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops after;
  if (p.accumulate) after.append_sum(1.f);
  if (p.relu) after.append_eltwise(1.f, dnnl::algorithm::eltwise_relu, 0.f, 0.f);
  attributes.set_post_ops(after);
  return attributes;
}

dnnl::memory::desc plain_b(const Product& p) {
  return {{p.k, p.n}, type_of(p.type), {p.b_row, p.b_col}};
}

/// What oneDNN likes best for a product of many rows; it takes the same for one of few.
dnnl::memory::desc packed_b(const Product& p) {
  constexpr std::int64_t kRows = 128;
  const dnnl::memory::desc a({kRows, p.k}, type_of(p.type), {p.k, 1});
  const dnnl::memory::desc b({p.k, p.n}, type_of(p.type), dnnl::memory::format_tag::any);
  const dnnl::memory::desc c({kRows, p.n}, type_of(p.type), {p.n, 1});
  return dnnl::matmul::primitive_desc({a, b, c}, engine()).weights_desc();
}

std::unique_ptr<CompiledProduct> build(const Product& p) {
  const dnnl::memory::desc a({p.m, p.k}, type_of(p.type), {p.a_row, p.a_col});
  const dnnl::memory::desc b = p.b_packed ? packed_b(p) : plain_b(p);
  const dnnl::memory::desc c({p.m, p.n}, type_of(p.c_type), {p.c_row, 1});
  const dnnl::memory::desc bias({1, p.n}, type_of(p.c_type), {p.n, 1});
  const auto described = p.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
  const dnnl::matmul::primitive_desc chosen(described, attributes(p), engine());
  return std::make_unique<CompiledProduct>(
      CompiledProduct{p.m, a, b, bias, c, chosen.scratchpad_desc(), p.bias, dnnl::matmul(chosen)});
}

std::unique_ptr<CompiledPacking> build_packing(const Product& p) {
  const dnnl::memory::desc from = plain_b(p), to = packed_b(p);
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::reorder::primitive_desc chosen(engine(), from, engine(), to, attributes);
  return std::make_unique<CompiledPacking>(
      CompiledPacking{from, to, chosen.scratchpad_desc(), dnnl::reorder(chosen)});
}

/// oneDNN lays its work out for the threads it sees when a primitive is made, and does it with
/// those it sees then: here, one. It does not notice where OpenMP gives it fewer
/// (OMP_THREAD_LIMIT).
class OneThread {
 public:
  OneThread() : threads_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(threads_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int threads_;
};

/// The calling thread's room for a primitive's intermediate results.
void* scratch_of(std::size_t bytes) {
  thread_local std::vector<char> room;
  if (room.size() < bytes) room.resize(bytes);
  return room.data();
}

/// What `make` gives for each product, made once on one thread.
template <class T>
const T& made_once(const Product& product, std::unique_ptr<T> (*make)(const Product&)) {
  static std::mutex mutex;
  static std::unordered_map<Product, std::unique_ptr<T>, HashProduct> all;
  const std::lock_guard lock(mutex);
  std::unique_ptr<T>& entry = all[product];
  if (entry) return *entry;
  const OneThread one;
  try {
    entry = make(product);
  } catch (const dnnl::error& e) {
    throw Error(e.status == dnnl_out_of_memory ? Errc::out_of_memory : Errc::device,
                std::string("cpu: matrix product of oneDNN: ") + e.what());
  }
  return *entry;
}

/// What a primitive reads and writes. The objects are made once for each thread, for making them
/// costs about as much as the product of a row; a call only says where their data are.
class Arguments {
 public:
  template <class... Descs>
  explicit Arguments(const Descs&... descs)
      : memories_{dnnl::memory(descs, engine(), DNNL_MEMORY_NONE)...} {}

  dnnl_memory_t at(std::size_t i, const void* data) const {
    memories_[i].set_data_handle(const_cast<void*>(data));
    return memories_[i].get();
  }

 private:
  std::vector<dnnl::memory> memories_;
};

/// The calling thread's for `compiled`, which lives as long as the process does.
template <class T, class... Descs>
const Arguments& arguments_of(const T& compiled, const Descs&... descs) {
  thread_local std::unordered_map<const T*, Arguments> all;
  return all.try_emplace(&compiled, descs...).first->second;
}

/// Runs a primitive on the calling thread; its C function, for the other one copies a map.
template <std::size_t kCount>
dnnl_status_t execute(const dnnl::primitive& primitive, const dnnl_exec_arg_t (&arguments)[kCount],
                      std::size_t count = kCount) {
  thread_local dnnl::stream stream(engine());
  return dnnl_primitive_execute(primitive.get(), stream.get(), static_cast<int>(count), arguments);
}

/// What became of `f`, which gives oneDNN's status.
template <class F>
Outcome outcome_of(const F& f) {
  const OneThread one;
  try {
    const dnnl_status_t status = f();
    if (status == dnnl_success) return Outcome::done;
    return status == dnnl_out_of_memory ? Outcome::no_room : Outcome::failed;
  } catch (const std::bad_alloc&) {
    return Outcome::no_room;
  } catch (const dnnl::error& e) {
    return e.status == dnnl_out_of_memory ? Outcome::no_room : Outcome::failed;
  } catch (const std::exception&) {
    return Outcome::failed;
  }
}

/// Whether oneDNN computes on this instruction set, which ONEDNN_MAX_CPU_ISA can keep it from.
bool has(dnnl::cpu_isa isa) {
  const auto set = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  return (set & static_cast<unsigned>(isa)) == static_cast<unsigned>(isa);
}

}  // namespace

Product layer_product(std::int64_t rows, int in, int out, Dtype type, Dtype y_type) {
  return {.m = rows,
          .n = out,
          .k = in,
          .type = type,
          .c_type = y_type,
          .a_row = in,
          .a_col = 1,
          .b_row = 1,
          .b_col = in,
          .c_row = out};
}

bool products_have_bf16() {
  return has(dnnl::cpu_isa::avx512_core_bf16);
}

Products products_run_on() {
  return has(dnnl::cpu_isa::avx512_core_amx) ? Products::amx
         : has(dnnl::cpu_isa::avx512_core)   ? Products::avx512
         : has(dnnl::cpu_isa::avx2)          ? Products::avx2
                                             : Products::baseline;
}

std::int64_t product_row_unit() {
  return has(dnnl::cpu_isa::avx512_core) ? 1 : 12;
}

std::int64_t product_rows(std::int64_t rows, std::int64_t tile, int threads) {
  // From 264 rows and as many columns on oneDNN copies operands, and adds in yet another order.
  constexpr std::int64_t kMost = 252;
  const std::int64_t unit = product_row_unit();
  if (unit == 1 || rows == 0) return tile;
  const auto parts = [](std::int64_t n, std::int64_t size) { return (n + size - 1) / size; };
  const std::int64_t most = std::min(parts(tile, unit) * unit, kMost);
  std::int64_t products = parts(rows, most);
  if (products > 1) products = parts(products, threads) * threads;
  return parts(parts(rows, products), unit) * unit;
}

const CompiledProduct& compile(const Product& product) {
  return made_once<CompiledProduct>(product, build);
}

const CompiledPacking& compile_packing(const Product& product) {
  return made_once<CompiledPacking>(product, build_packing);
}

std::size_t packed_bytes(const CompiledPacking& packing) {
  return packing.to.data.format_desc.blocking.inner_nblks == 0 ? 0 : packing.to.get_size();
}

Outcome run(const CompiledProduct& p, const void* a, const void* b, const void* bias, void* c) {
  return outcome_of([&] {
    const Arguments& memory = arguments_of(p, p.a, p.b, p.c, p.scratch, p.bias);
    return execute(p.primitive,
                   {{DNNL_ARG_SRC, memory.at(0, a)},
                    {DNNL_ARG_WEIGHTS, memory.at(1, b)},
                    {DNNL_ARG_DST, memory.at(2, c)},
                    {DNNL_ARG_SCRATCHPAD, memory.at(3, scratch_of(p.scratch.get_size()))},
                    {DNNL_ARG_BIAS, memory.at(4, bias)}},
                   p.has_bias ? 5 : 4);
  });
}

Outcome run_rows(const CompiledProduct& p, std::int64_t rows, const void* a, const void* b,
                 const void* bias, void* c) {
  if (rows == p.rows) return run(p, a, b, bias, c);
  thread_local std::vector<char> all_a, all_c;
  const std::size_t a_row = p.a.get_size() / p.rows, c_row = p.c.get_size() / p.rows;
  try {
    all_a.assign(a_row * p.rows, 0), all_c.resize(c_row * p.rows);
  } catch (const std::bad_alloc&) {
    return Outcome::no_room;
  }
  std::memcpy(all_a.data(), a, a_row * rows);
  const Outcome outcome = run(p, all_a.data(), b, bias, all_c.data());
  std::memcpy(c, all_c.data(), c_row * rows);
  return outcome;
}

Outcome run(const CompiledPacking& p, const void* b, void* packed) {
  return outcome_of([&] {
    const Arguments& memory = arguments_of(p, p.from, p.to, p.scratch);
    return execute(p.primitive,
                   {{DNNL_ARG_FROM, memory.at(0, b)},
                    {DNNL_ARG_TO, memory.at(1, packed)},
                    {DNNL_ARG_SCRATCHPAD, memory.at(2, scratch_of(p.scratch.get_size()))}});
  });
}

void check_products(Outcome outcome, const char* operation) {
  if (outcome == Outcome::no_room)
    throw Error(Errc::out_of_memory, std::string("cpu: ") + operation + ": no room for a product");
  if (outcome == Outcome::failed)
    throw Error(Errc::device, std::string("cpu: ") + operation + ": a product of oneDNN failed");
}

}  // namespace rheo::cpu
