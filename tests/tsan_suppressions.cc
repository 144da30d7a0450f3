// What ThreadSanitizer takes for a race and is none. Part of every test program of the tsan preset.
// One line for each, with the reason: whoever adds one has read the report.

extern "C" const char* __tsan_default_suppressions();

extern "C" const char* __tsan_default_suppressions() {
  // The last holder of a status's message frees it. Who holds it is counted inside Debian's Abseil,
  // which is not instrumented, so the count orders nothing for TSan.
  return "race:absl::*::Status::Unref\n"
         // The deadlock detector of Debian's Abseil, inside every lock of a mutex: its own lock,
         // which is not instrumented, orders its memory.
         "race:absl::*::synchronization_internal::GraphCycles\n";
}
