# Shows that check_layers can fail: plants forbidden includes in a copy of the tree, one for each
# rule, and wants each of them named, and nothing else.
# Usage: cmake -DSCRATCH=<folder to overwrite> -P cmake/check_layers_test.cmake
cmake_minimum_required(VERSION 3.25)
if(NOT SCRATCH)
  message(FATAL_ERROR "check_layers_test: give -DSCRATCH=<a folder that may be overwritten>")
endif()
get_filename_component(root "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)
file(REMOVE_RECURSE "${SCRATCH}")
foreach(folder include kernels src cli examples)
  if(EXISTS "${root}/${folder}")
    file(COPY "${root}/${folder}" DESTINATION "${SCRATCH}")
  endif()
endforeach()

# file|include; brackets and spaces vary as people's do.
set(planted
    "include/rheo/planted.h|#include <cuda_runtime.h>"
    "include/rheo/planted_json.h|#include <nlohmann/json.hpp>"
    "include/rheo/planted_src.h|#include \"src/check.h\""
    "kernels/planted.h|#include \"kernels/cpu/planted.h\""
    "kernels/cpu/planted.cpp|#include \"src/check.h\""
    "kernels/cpu/planted_cub.cpp|#include <cub/cub.cuh>"
    "kernels/cuda/planted.cu|#include \"kernels/cpu/planted.h\""
    "src/planted.cpp|#include \"kernels/cuda/planted.cuh\""
    "src/deep/er/planted.cpp|  #  include \"kernels/cpu/planted.h\""
    "src/deep/planted.cpp|#include <fmt/format.h>"
    "src/planted_angled.cpp|#include <kernels/cpu/planted.h>"
    "src/planted_neighbour.cpp|#include \"check.h\""
    "cli/planted.cpp|#include \"src/check.h\""
    "examples/planted.cpp|#include \"cli/planted.h\"")
foreach(plant IN LISTS planted)
  string(REPLACE "|" ";" plant "${plant}")
  list(GET plant 0 file)
  list(GET plant 1 include)
  file(WRITE "${SCRATCH}/${file}" "#include <vector>\n${include}\n")
endforeach()

execute_process(COMMAND ${CMAKE_COMMAND} -DRHEO_ROOT=${SCRATCH} -P
                        ${CMAKE_CURRENT_LIST_DIR}/check_layers.cmake
                RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
set(missed "")
foreach(plant IN LISTS planted)
  string(REGEX MATCH "^([^|]*)\\|.*([<\"].*[>\"])$" unused "${plant}")
  string(FIND "${output}" "${CMAKE_MATCH_1}: #include ${CMAKE_MATCH_2}" found)
  if(found EQUAL -1)
    list(APPEND missed "${plant}")
  endif()
endforeach()
string(REGEX MATCHALL ": #include " reported "${output}")
list(LENGTH reported reported)
list(LENGTH planted wanted)
if(status EQUAL 0 OR missed OR NOT reported EQUAL wanted)
  message(FATAL_ERROR "check_layers: exit ${status}, ${reported} reports for ${wanted} planted "
                      "includes; missed: ${missed}\n${output}")
endif()
file(REMOVE_RECURSE "${SCRATCH}")
message(STATUS "check_layers_test: all ${wanted} planted includes were found")
