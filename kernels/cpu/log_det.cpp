#include "kernels/log_det.h"

#include "kernels/cpu/operations.h"
#include "kernels/cpu/parallel.h"

namespace rheo::cpu::RHEO_ISA {

void log_det_sum(const LogDetArgs& a, Stream) {
  parallel_for(a.count, a.count * a.used * kPerValue, [&](std::int64_t n) {
    double sum = 0;
    for (int i = 0; i < a.used; ++i)
      sum += static_cast<double>(a.partials.data[n * a.partials.stride + i]);
    for (int i = 0; i < a.constant_count; ++i) sum += a.constants[i];
    a.log_prob[n] = sum;
  });
}

}  // namespace rheo::cpu::RHEO_ISA
