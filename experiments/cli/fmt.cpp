// The code of fmt, compiled once here instead of in every file that formats text: elsewhere its
// headers only declare these functions. Header-only fmt emits a function only where it is used, so
// this file takes their addresses. That works with every version of fmt and needs no fmt library.
#define FMT_HEADER_ONLY
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <string>

namespace {

[[gnu::used]] std::string (*const format_text)(fmt::string_view, fmt::format_args) = fmt::vformat;
[[gnu::used]] void (*const print_text)(fmt::string_view, fmt::format_args) = fmt::vprint;
[[gnu::used]] void (*const print_to)(std::FILE*, fmt::string_view, fmt::format_args) = fmt::vprint;
// clang refers to it in formatting code that it does not remove
[[gnu::used]] bool (*const is_printable)(uint32_t) = fmt::detail::is_printable;
#if FMT_VERSION >= 110000
[[gnu::used]] void (*const print_buffered)(std::FILE*, fmt::string_view,
                                           fmt::format_args) = fmt::vprint_buffered;
#endif

}  // namespace
