#pragma once

// What a process has cost so far.

#include <cstdint>
#include <string>

namespace tao::bench {

// Time on a CPU, in nanoseconds, of the threads of process `pid` whose name begins with `threads`
// (empty: all). From schedstat, which counts what a thread ran to the nanosecond; stat has ticks of
// 10 ms.
int64_t CpuTime(int64_t pid, const std::string& threads);

}  // namespace tao::bench
