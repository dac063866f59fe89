# What holds of the sources themselves, as tests, and the installed library used from outside.
# Include after enable_testing() and the targets rheo and rheo_program.
set(RHEO_TEST_PYTHON python3 CACHE FILEPATH
    "Runs the tests written in Python; numpy and safetensors are for those that exchange files")

include(${PROJECT_SOURCE_DIR}/cmake/header_check.cmake)
rheo_check_public_headers()

add_test(NAME gates.layers
         COMMAND ${CMAKE_COMMAND} -P ${PROJECT_SOURCE_DIR}/cmake/check_layers.cmake)
add_test(NAME gates.layers_can_fail
         COMMAND ${CMAKE_COMMAND} -DSCRATCH=${PROJECT_BINARY_DIR}/gates/layers
                 -P ${PROJECT_SOURCE_DIR}/cmake/check_layers_test.cmake)
add_test(NAME gates.lengths
         COMMAND ${RHEO_TEST_PYTHON} ${PROJECT_SOURCE_DIR}/scripts/check_lengths)
add_test(NAME gates.lengths_can_fail
         COMMAND ${RHEO_TEST_PYTHON} ${PROJECT_SOURCE_DIR}/tests/check_lengths_test.py)
add_test(NAME gates.format COMMAND ${PROJECT_SOURCE_DIR}/scripts/format)
set_tests_properties(gates.format PROPERTIES SKIP_RETURN_CODE 77)
add_test(NAME gates.install
         COMMAND ${PROJECT_SOURCE_DIR}/tests/install/run.sh ${PROJECT_BINARY_DIR}
                 ${PROJECT_BINARY_DIR}/gates/install ${PROJECT_VERSION} ${CMAKE_CXX_COMPILER}
                 "${CMAKE_CXX_FLAGS}")
