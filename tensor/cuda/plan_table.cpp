// Measured plans as text: see plan_table.h.
#include "tensor/cuda/plan_table.h"

#include <cctype>
#include <charconv>
#include <sstream>

#include "tensor/environment.h"
#include "tensor/file.h"
#include "tensor/names.h"

namespace versor {

template <>
struct EnumNames<cuda::ConvKind> {
  static constexpr Named<cuda::ConvKind> all[] = {{cuda::ConvKind::forward, "forward"},
                                                  {cuda::ConvKind::grad_input, "grad_input"},
                                                  {cuda::ConvKind::grad_weight, "grad_weight"}};
};

namespace cuda {
namespace {

// The words of a line, each of which must be there and be what is asked for.
class Line {
 public:
  Line(std::string where, const std::string& text)
      : where_(std::move(where)), in_(text.substr(0, text.find('#'))) {
    if (const size_t hash = text.find("# "); hash != std::string::npos)
      comment_ = text.substr(hash + 2);
  }

  const std::string& comment() const { return comment_; }
  [[noreturn]] void refuse(const std::string& why) const { fail("plans", where_, ": ", why); }
  std::optional<std::string> next() {
    std::string word;
    return in_ >> word ? std::optional(word) : std::nullopt;
  }
  std::string word(const char* what) {
    const std::optional<std::string> w = next();
    if (!w) refuse(str("there is no ", what));
    return *w;
  }
  int64_t number(const std::string& text, const char* what, int64_t least) const {
    int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    constexpr int64_t kMost = 1 << 30;
    if (error != std::errc() || stop != end || value < least || value > kMost)
      refuse(str("\"", text, "\" is no ", what));
    return value;
  }
  int64_t number(const char* what, int64_t least) { return number(word(what), what, least); }
  // One of the words; its place among them.
  size_t one_of(const char* what, const std::vector<std::string>& words) {
    const std::string w = word(what);
    for (size_t i = 0; i < words.size(); ++i)
      if (w == words[i]) return i;
    refuse(str("\"", w, "\" is no ", what));
  }
  std::string rest() {  // without blanks around it
    std::string all;
    while (const auto w = next()) all += (all.empty() ? "" : " ") + *w;
    return all;
  }

 private:
  std::string where_, comment_;
  std::istringstream in_;
};

const std::vector<std::string> kPrecisions{"fp32", "tf32", "bf16"};
const std::vector<std::string> kFollowing{"none", "bias", "relu", "bias+relu"};

ConvKey read_key(Line& line) {
  ConvKey key{};
  key.kind = static_cast<ConvKind>(line.one_of("pass", names_of<ConvKind>()));
  const size_t precision = line.one_of("precision", kPrecisions);
  key.dtype = precision == 2 ? DType::bf16 : DType::f32;
  key.tf32 = precision == 1;
  for (int64_t* size : {&key.N, &key.H, &key.W, &key.I, &key.O, &key.kh, &key.kw, &key.stride})
    *size = line.number("size", 1);
  key.padding = line.number("padding", 0);
  const size_t following = line.one_of("bias and ReLU", kFollowing);
  key.bias = following & 1;
  key.relu = following & 2;
  return key;
}

EngineChoice read_choice(Line& line) {
  EngineChoice choice{line.number("engine", 0), {}};
  while (const auto word = line.next()) {
    const size_t equal = std::min(word->find('='), word->size() - 1);
    const int64_t knob = line.number(word->substr(0, equal), "knob", 0);
    const int64_t value = line.number(word->substr(equal + 1), "value of a knob", 0);
    if (!choice.knobs.emplace(knob, value).second) line.refuse(str("knob ", knob, " twice"));
  }
  return choice;
}

}  // namespace

std::string to_text(const ConvKey& key) {
  const char* precision = key.dtype == DType::bf16 ? "bf16" : key.tf32 ? "tf32" : "fp32";
  std::string text = str(name_of(key.kind), " ", precision);
  for (int64_t size : {key.N, key.H, key.W, key.I, key.O, key.kh, key.kw, key.stride, key.padding})
    text += str(" ", size);
  return text + " " + kFollowing[(key.bias ? 1 : 0) + (key.relu ? 2 : 0)];
}

std::string to_text(const EngineChoice& choice) {
  std::string text = std::to_string(choice.engine);
  for (const auto& [knob, value] : choice.knobs) text += str(" ", knob, "=", value);
  return text;
}

PlanTable::PlanTable(const std::string& file, const std::string& text) {
  std::istringstream in(text);
  std::string content;
  for (int number = 1; std::getline(in, content); ++number) {
    Line line(str(file, ":", number), content);
    const std::optional<std::string> first = line.next();
    if (!first) continue;
    if (*first == "card" && card_.empty()) {
      card_ = line.rest();
    } else if (*first == "cudnn" && cudnn_ == 0) {
      cudnn_ = line.number("version", 1);
    } else if (*first == "conv" && !card_.empty() && cudnn_ != 0) {
      const ConvKey key = read_key(line);
      if (entries_.contains(to_text(key))) line.refuse("the same convolution twice");
      set(key, read_choice(line), line.comment());
    } else {
      line.refuse(str("\"", *first, "\": expected once card, once cudnn, then conv"));
    }
    if (line.next()) line.refuse("there is more than expected");
  }
}

const EngineChoice* PlanTable::find(const ConvKey& key) const {
  if (!key.deterministic || !key.aligned) return nullptr;
  const auto it = entries_.find(to_text(key));
  return it == entries_.end() ? nullptr : &it->second.choice;
}

void PlanTable::set(const ConvKey& key, const EngineChoice& choice, const std::string& comment) {
  entries_[to_text(key)] = {choice, comment};
}

std::string PlanTable::text() const {
  std::string text = str("# written by make tune-gpu\ncard ", card_, "\ncudnn ", cudnn_, "\n");
  for (const auto& [key, entry] : entries_)
    text += "conv " + key + " " + to_text(entry.choice) +
            (entry.comment.empty() ? "" : "  # " + entry.comment) + "\n";
  return text;
}

std::string PlanTable::file_name() const {
  std::string name;
  for (const char c : card_)
    name += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '-';
  return str(name, "-cudnn", cudnn_, ".txt");
}

PlanTable plans_for(const std::string& card, int64_t cudnn, const std::vector<PlanFile>& files) {
  if (const auto path = environment("VERSOR_PLANS")) {
    if (*path == "0") return {card, cudnn};
    PlanTable table(*path, read_file(*path));
    check(table.is_for(card, cudnn), "plans", *path, " is not for ", card, " with cuDNN ", cudnn);
    return table;
  }
  for (const PlanFile& file : files)
    if (PlanTable table(file.name, file.text); table.is_for(card, cudnn)) return table;
  return {card, cudnn};
}

}  // namespace cuda
}  // namespace versor
