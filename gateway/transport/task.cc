#include "gateway/transport/task.h"

#include <array>
#include <new>

namespace tao::transport {
namespace {

constexpr size_t kStep = 64;          // sizes are rounded up to it
constexpr size_t kLargest = 4096;     // larger frames are not kept
constexpr size_t kKeptOfASize = 256;  // what a burst of connections leaves behind, at most

struct FreeFrame {
  FreeFrame* next;
};

struct FreeList {
  FreeFrame* first = nullptr;
  size_t count = 0;
};

class FreeFrames {
 public:
  ~FreeFrames() {
    for (FreeList& list : lists_) {
      while (list.first != nullptr) ::operator delete(std::exchange(list.first, list.first->next));
    }
  }
  FreeList& Of(size_t bytes) { return lists_[(bytes - 1) / kStep]; }

 private:
  std::array<FreeList, kLargest / kStep> lists_;
};

thread_local FreeFrames free_frames;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kKeeps = false;  // a frame that is used after its end must show
#else
constexpr bool kKeeps = true;
#endif

}  // namespace

void* FramePool::Allocate(size_t bytes) {
  if (!kKeeps || bytes > kLargest) return ::operator new(bytes);
  FreeList& list = free_frames.Of(bytes);
  if (list.first == nullptr) return ::operator new((bytes + kStep - 1) / kStep * kStep);
  --list.count;
  return std::exchange(list.first, list.first->next);
}

void FramePool::Free(void* frame, size_t bytes) {
  if (!kKeeps || bytes > kLargest) return ::operator delete(frame);
  FreeList& list = free_frames.Of(bytes);
  if (list.count == kKeptOfASize) return ::operator delete(frame);
  ++list.count;
  list.first = new (frame) FreeFrame{list.first};
}

}  // namespace tao::transport
