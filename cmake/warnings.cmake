# Link rheo_warnings PRIVATE to every target of this project, never to one that others link.
# Those who build the tests work on it; who builds to use it may have another compiler.
option(RHEO_WERROR "Treat warnings as errors" ${RHEO_TESTS})

add_library(rheo_warnings INTERFACE)
target_compile_options(
  rheo_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic>
                          $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra;-Xptxas=-warn-spills>)
# g++ 12 finds overlaps in string + string that are not there (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(rheo_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(RHEO_WERROR)
  target_compile_options(rheo_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
                                                 $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xptxas=-Werror>)
endif()
