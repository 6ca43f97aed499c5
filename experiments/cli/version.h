// What this program was built from and with, for --version and for the record of a run.
#pragma once

#include <string>

namespace versor {

std::string version();         // "0.1.0"
std::string commit();          // the commit's hash, with "-dirty" appended if files were changed
std::string compiler_flags();  // the compiler, and those of its options that affect results

}  // namespace versor
