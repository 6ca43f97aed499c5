// What built this program, for --version and for the record of a run.
#pragma once

#include <string>

namespace versor {

std::string version();         // "0.1.0"
std::string commit();          // the commit's hash, "-dirty" behind it if files were changed
std::string compiler_flags();  // compiler and the options that matter to results

}  // namespace versor
