# The CUDA backend's own sources, compiled for the CPU: what tests call the emulated GPU. Once as it
# is, for the whole suite, and once for each sanitizer, for every operation by itself.
set_source_files_properties(${RHEO_CUDA_SOURCES} simt/cublaslt.cpp PROPERTIES LANGUAGE CXX)

# rheo_emulate(<target> [<compiler options>...])
function(rheo_emulate target)
  add_library(${target} OBJECT ${RHEO_CUDA_SOURCES} simt/cublaslt.cpp simt/gemm.cpp)
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(${target} PRIVATE RHEO_CUDA_NAME="emulated")
  target_compile_options(${target} PRIVATE ${ARGN})
  target_link_libraries(${target} PRIVATE rheo_warnings simt_headers Random123::Random123
                                          $<$<BOOL:${OpenMP_CXX_FOUND}>:OpenMP::OpenMP_CXX>)
endfunction()

rheo_emulate(rheo_emulated -O2)

# An order in which the emulator runs a block's threads, and what its cuBLASLt can do.
# rheo_add_emulated_test(<name> <executable> <filter> [<variable=value>...])
function(rheo_add_emulated_test name executable filter)
  add_test(NAME emulated.${name} COMMAND ${executable} --gtest_brief=1 --gtest_filter=${filter})
  set_tests_properties(emulated.${name} PROPERTIES
                       ENVIRONMENT "OMP_WAIT_POLICY=passive;TSAN_OPTIONS=atexit_sleep_ms=0;${ARGN}")
endfunction()

# rheo_add_sanitized(<name> <order> <compiler options>...)
function(rheo_add_sanitized name order)
  set(filter "*/emulated")
  set(environment "")
  if(name STREQUAL tsan)
    # libgomp's threads are none of ours. What takes minutes to run, on kernels, shapes and branches
    # that other tests run too, is left out: the same work for other orders, in place and with
    # less asked for, 256 blocks in 36 cases, and hundreds of vectors or images, a block each.
    set(again *adam_norm* *PartsTest* PriorCurveTest* Step*Test.Bits* StepTest.WorksInPlace*
              StepTest.InverseUndoes* StepTest.*ZerosInPlace* StepBackwardTest.AllElse*
              AdamTest.TenSteps* AdamTest.AStepThat*)
    list(JOIN again ":" again)
    set(filter "*/emulated-${again}")
    set(environment OMP_THREAD_LIMIT=1)
  endif()
  add_executable(rheo_${name}_tests)
  # Names of lines are all that a report needs of what -g writes.
  rheo_emulate(rheo_emulated_${name} -O1 -g1 -fno-omit-frame-pointer ${ARGN})
  target_link_options(rheo_${name}_tests PRIVATE ${ARGN})
  target_link_libraries(rheo_${name}_tests PRIVATE rheo_operation_tests rheo_emulated_${name}
                        rheo_internal simt_runtime GTest::gtest_main)
  rheo_add_emulated_test(${name} rheo_${name}_tests ${filter} RHEO_SIMT_ORDER=${order}
                         ${environment})
endfunction()
