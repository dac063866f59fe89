#pragma once

namespace simt {

/// Frees what blocks were given as shared memory.
void free_shared_memory();

}  // namespace simt
