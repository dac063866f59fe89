# Every library that is not ours, found in one place. docs/dependencies.md says why each is here.
# What links them links them PRIVATE: a consumer of rheo::rheo needs none.

# A package with a CMake config or find module of its own. The rest of the arguments go to
# find_package.
macro(rheo_find_package name debian)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "rheo needs ${name}: apt-get install ${debian} (or run scripts/install-deps)")
  endif()
endmacro()

# A library that is one header, and perhaps one file to link, as the imported target `target`.
function(rheo_find_files target header library debian)
  string(REGEX REPLACE "::.*" "" name "${target}")
  find_path(${name}_INCLUDE_DIR ${header})
  mark_as_advanced(${name}_INCLUDE_DIR)
  set(found "${${name}_INCLUDE_DIR}")
  if(library)
    find_library(${name}_LIBRARY ${library})
    mark_as_advanced(${name}_LIBRARY)
    if(NOT ${name}_LIBRARY)
      set(found "")
    endif()
  endif()
  if(NOT found)
    message(FATAL_ERROR "rheo needs ${name} (${header}): apt-get install ${debian} "
                        "(or run scripts/install-deps)")
  endif()
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  target_include_directories(${target} SYSTEM INTERFACE ${${name}_INCLUDE_DIR})
  if(library)
    target_link_libraries(${target} INTERFACE ${${name}_LIBRARY})
  endif()
endfunction()

rheo_find_package(OpenMP g++ COMPONENTS CXX)
# Not by find_package: the config of Debian's oneDNN wants OpenCL's headers, which nothing here uses.
rheo_find_files(DNNL::dnnl oneapi/dnnl/dnnl.hpp dnnl libdnnl-dev)
rheo_find_files(Random123::Random123 Random123/philox.h "" librandom123-dev)
rheo_find_files(xxHash::xxhash xxhash.h xxhash libxxhash-dev)
rheo_find_package(nlohmann_json nlohmann-json3-dev 3.11)
rheo_find_package(PNG libpng-dev)
rheo_find_package(JPEG libjpeg62-turbo-dev)
rheo_find_package(ZLIB zlib1g-dev)

# The program alone.
rheo_find_package(CLI11 libcli11-dev 2.1)
rheo_find_package(fmt libfmt-dev 9)

if(RHEO_TESTS)
  rheo_find_package(GTest libgtest-dev)
endif()
if(RHEO_BENCH)
  rheo_find_package(benchmark libbenchmark-dev)
endif()
