#pragma once

// The few names of Boost.Asio that the gateway is written in. Every task and socket is bound to its
// worker's io_context by type, which spares the type-erased executor that Asio defaults to.
//
// GCC 12 destroys some temporaries of a co_await expression twice: an aggregate or a capturing
// lambda is given a name on the line before, and moved in.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <utility>

namespace tao::transport {

namespace net = boost::asio;

using Executor = net::io_context::executor_type;
using Tcp = net::ip::tcp;
using TcpSocket = net::basic_stream_socket<Tcp, Executor>;

// What a coroutine of the gateway returns. Its parameters are values, or references to what
// outlives it.
template <typename T>
using Task = net::awaitable<T, Executor>;

// co_await operation(..., kAwait): an error_code and the result, never an exception.
inline constexpr net::as_tuple_t<net::use_awaitable_t<Executor>> kAwait;

// Lets `task` run on its own. Our tasks throw nothing: what escapes one is lack of memory or a
// broken invariant, and ends the process.
inline void Spawn(net::io_context& io, Task<void> task) {
  net::co_spawn(io, std::move(task), [](std::exception_ptr thrown) {
    if (thrown) std::terminate();
  });
}

}  // namespace tao::transport
