#pragma once

// JSON as Python's json.dumps(value, separators=(",", ":")) prints it, byte for byte. The
// containers' payloads are made by Python elsewhere, and a command line that differs in one byte is
// a different one to whoever compares or greps for it. That is why this is not nlohmann's dump().

#include <string>
#include <string_view>

namespace tao::launch {

// `text`, which must be valid UTF-8, as a JSON string in ASCII: what is not printable ASCII becomes
// \uXXXX, beyond U+FFFF as a surrogate pair.
std::string PythonJsonString(std::string_view text);

// A finite number as Python prints a float: the shortest digits that read back the same, with ".0"
// or an exponent ("30.0", "1e-05").
std::string PythonFloat(double value);

// An object, its members in the order they are added. Names must differ.
class PythonJsonObject {
 public:
  void Add(std::string_view name, std::string_view text);
  void Add(std::string_view name, const PythonJsonObject& object);
  std::string Dump() const { return "{" + members_ + "}"; }

 private:
  void AddRaw(std::string_view name, std::string_view json);
  std::string members_;
};

}  // namespace tao::launch
