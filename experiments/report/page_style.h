// The style and the script of the report's page. Both are part of the page, which needs no network.
#pragma once

namespace versor {

extern const char* const kPageStyle;
extern const char* const kPageScript;

}  // namespace versor
