#include "tests/bench/cpu_time.h"

#include <filesystem>
#include <fstream>

namespace tao::bench {

int64_t CpuTime(int64_t pid, const std::string& threads) {
  int64_t sum = 0;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error)) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name.compare(0, threads.size(), threads) != 0) continue;
    int64_t ran = 0;
    std::ifstream(task.path() / "schedstat") >> ran;
    sum += ran;
  }
  return sum;
}

}  // namespace tao::bench
