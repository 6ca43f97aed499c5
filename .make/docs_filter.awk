# The headers' comments in the form that Doxygen reads:
#   at the top of the file         \file, and again above the class of that name
#   above a declaration            ///
#   behind a declaration           ///<, with the lines below it that continue it
# Lines of a comment that are indented, as tables and formulas are, keep their form.
function escaped(text) {
  gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
  gsub(/"/, "\\&quot;", text)
  gsub(/[\\@#$%]/, "\\\\&", text)
  return text
}
function line_of(text,  form) {  # one line, text as it stands after the //
  if (text ~ /^ +- /) in_list = 1
  else if (text !~ /^  /) in_list = 0
  form = text ~ /^   *[^ ]/ && !in_list
  if (form && !in_form) text = "<pre>" escaped(text)
  else if (!form && in_form) text = "</pre>" escaped(text)
  else text = escaped(text)
  in_form = form
  return " " text
}
function block(mark,  i, out) {  # the comment that was gathered
  in_form = in_list = 0
  out = ""
  for (i = 1; i <= n; ++i) out = out mark line_of(comment[i]) "\n"
  return out (in_form ? mark " </pre>\n" : "")
}
function is_of_file(class,  file) {  # residual.h: class ResidualQuantizer, not ResidualOptions
  file = FILENAME
  sub(/.*\//, "", file); sub(/\.h$/, "", file); gsub(/_/, "", file)
  return class !~ /(options|params)$/ && index(class, file) || class ~ /quantizer$/
}
{ code = $0; sub(/^ */, "", code) }
# a comment by itself
code ~ /^\/\// && !(behind > 0 && index($0, "//") == behind) {
  comment[++n] = substr(code, 3)
  next
}
# the continuation of one behind a declaration
code ~ /^\/\// { print "///<" escaped(substr(code, 3)); next }
{
  at_top = n > 0 && !seen_code && code ~ /^#pragma once/
  if (at_top) {
    top = block("///")
    printf "/// \\file\n%s", top
  } else if (n > 0) {
    printf "%s", block("///")
  } else if (top != "" && $0 ~ /^(class|struct) [A-Za-z0-9]+[^;]*\{/ && is_of_file(tolower($2))) {
    printf "%s", top
    top = ""
  }
  n = 0
  if (code != "" && code !~ /^#/) seen_code = 1
  behind = match($0, /  \/\/ /) && code !~ /^#/ ? RSTART + 2 : 0
  if (behind > 0) print substr($0, 1, behind - 1) "///< " escaped(substr($0, behind + 3))
  else print
}
