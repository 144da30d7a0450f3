# The Debian packages we build against (scripts/deps.sh installs them). Everything that is missing is
# named with the command that installs it.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(GTest REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(simdjson REQUIRED)
# The default Boost of Debian 12 (1.74) has no asio::as_tuple and does not compile as C++20.
find_package(Boost 1.81 EXACT REQUIRED)

if(NOT TAO_SANITIZER STREQUAL "tsan")
  find_package(Protobuf REQUIRED)
  find_package(gRPC CONFIG REQUIRED)
endif()

# Asio, header only, with the names our code relies on.
add_library(tao_asio INTERFACE)
target_link_libraries(tao_asio INTERFACE Boost::headers Threads::Threads)
target_compile_definitions(tao_asio INTERFACE BOOST_ASIO_NO_DEPRECATED
                                              BOOST_ASIO_DISABLE_BOOST_COROUTINE)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # With sanitizers GCC 12 takes the recycling allocator of Asio's coroutine frames for a mismatch.
  target_compile_options(tao_asio INTERFACE -Wno-mismatched-new-delete)
endif()
