#pragma once

// Certificates for TLS tests, made by the openssl program once for each test process, and removed
// at its end.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace tao {

class TestCertificates {
 public:
  // A pair of files: `name`.pem and `name`.key. good: for localhost, 127.0.0.1 and *.test.example.
  // wrong: for other.example. expired: as good, until yesterday. stranger: as good, of a CA that
  // ca_file() is not. Their common name is localhost throughout: it must not count.
  struct Pair {
    std::string certificate, key;
  };
  static Pair Of(const std::string& name) {
    return {Folder() + "/" + name + ".pem", Folder() + "/" + name + ".key"};
  }
  static std::string ca_file() { return Folder() + "/ca.pem"; }

 private:
  TestCertificates() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tao-certs-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    folder_ = pattern;
    const std::string script = R"sh(
set -e
cd "$0"
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
names='DNS:localhost,DNS:*.test.example,IP:127.0.0.1'
for ca in ca other; do
  openssl req -x509 $key -keyout $ca.key -out $ca.pem -days 2 -subj "/CN=Test $ca"
done
leaf() {
  openssl req $key -keyout $1.key -out $1.csr -subj /CN=localhost
  echo "subjectAltName=$3" > $1.ext
  openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -out $1.pem -days $4 -extfile $1.ext
}
leaf good ca "$names" 2
leaf wrong ca DNS:other.example 2
leaf expired ca "$names" -1
leaf stranger other "$names" 2
)sh";
    const std::string command =
        "sh -c '" + Escaped(script) + "' " + folder_ + " > " + folder_ + "/log 2>&1";
    if (std::system(command.c_str()) != 0) {
      static_cast<void>(std::system(("cat " + folder_ + "/log").c_str()));
      std::abort();  // no openssl program: scripts/deps.sh installs it
    }
  }
  ~TestCertificates() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  static std::string Escaped(const std::string& text) {
    std::string out;
    for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
    return out;
  }
  static const std::string& Folder() {
    static const TestCertificates certificates;
    return certificates.folder_;
  }

  std::string folder_;
};

}  // namespace tao
