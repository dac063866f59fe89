# No kernel may keep registers or arrays in local memory, on any architecture: that is a spill, or an
# array with an index that the compiler could not resolve, and both cost a pass over memory.
# Usage: cmake -DCUOBJDUMP=<program> -DLIBRARY=<librheo_cuda.so> -DARCHITECTURES=<how many> -P ...
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${CUOBJDUMP} --dump-resource-usage ${LIBRARY}
                RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE errors)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "check_spills: ${CUOBJDUMP} failed on ${LIBRARY}: ${errors}")
endif()

string(REGEX MATCHALL "Fatbin elf code:\n=+\narch = sm_[0-9a-z]+" found "${output}")
list(REMOVE_DUPLICATES found)
list(LENGTH found architectures)
if(NOT architectures EQUAL ARCHITECTURES)
  message(FATAL_ERROR "check_spills: code for ${architectures} architectures (${found}); "
                      "${ARCHITECTURES} were asked for")
endif()

string(REGEX MATCHALL "Function [^:\n]+:\n *REG:[0-9]+ STACK:[0-9]+ SHARED:[0-9]+ LOCAL:[0-9]+"
       kernels "${output}")
set(spilling 0)
foreach(kernel IN LISTS kernels)
  if(NOT kernel MATCHES "STACK:0 SHARED:[0-9]+ LOCAL:0")
    message(NOTICE "${kernel}")
    math(EXPR spilling "${spilling} + 1")
  endif()
endforeach()
list(LENGTH kernels count)
string(REGEX MATCHALL "Function [^:\n]+:" functions "${output}")
list(LENGTH functions all)
if(NOT all EQUAL count)
  message(FATAL_ERROR "check_spills: ${all} functions, of which ${count} could be read")
endif()
if(count EQUAL 0)
  message(FATAL_ERROR "check_spills: no kernel found in ${LIBRARY}")
endif()
if(spilling GREATER 0)
  message(FATAL_ERROR "check_spills: ${spilling} of ${count} kernels use local memory")
endif()
message(STATUS "check_spills: ${count} kernels for ${architectures} architectures, none in local memory")
