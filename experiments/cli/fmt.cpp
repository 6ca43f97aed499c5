// The code of fmt, compiled here once instead of in every file that formats text: elsewhere its
// headers only declare these functions. As header-only code it makes them in this file where they
// are used, so they are used; that holds for every version of fmt, and needs no library of it.
#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cstdio>
#include <string>

namespace {

[[gnu::used]] std::string (*const format_text)(fmt::string_view, fmt::format_args) = fmt::vformat;
[[gnu::used]] void (*const print_text)(fmt::string_view, fmt::format_args) = fmt::vprint;
[[gnu::used]] void (*const print_to)(std::FILE*, fmt::string_view, fmt::format_args) = fmt::vprint;
#if FMT_VERSION >= 110000
[[gnu::used]] void (*const print_buffered)(std::FILE*, fmt::string_view,
                                           fmt::format_args) = fmt::vprint_buffered;
#endif

}  // namespace
