#include "clients/cli/app.h"

int main(int argc, char** argv) { return tao::cli::Run(argc, argv); }
