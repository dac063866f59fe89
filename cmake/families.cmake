# Every family of operations has the same rooms: kernels/<family>.h, kernels/cpu/<family>.cpp,
# tests/<family>_test.cpp, bench/<family>_bench.cpp. A name here without its sources does not
# configure.
set(RHEO_FAMILIES pixels squeeze weights step linear prior moments log_det adam)
