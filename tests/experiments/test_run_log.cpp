// What a run records while it trains: files that are appended to, whatever a kill left of them;
// TensorBoard's event files, read back record by record; runs that end early or change their
// learning rate.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "experiments/run/appended_file.h"
#include "experiments/run/event_file.h"
#include "experiments/run/metrics.h"
#include "experiments/run/progress_line.h"
#include "nn/safetensors.h"
#include "tests/experiments/programs.h"
#include "tests/support.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

// --- a reader of event files, written against the formats' descriptions ---

template <class T>
T number_at(const std::string& bytes, size_t at) {
  T value;
  REQUIRE(at + sizeof(T) <= bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

// The bytes of all records; every length and checksum must fit.
std::vector<std::string> records_in(const std::string& file) {
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    const auto length = number_at<uint64_t>(file, at);
    CHECK(number_at<uint32_t>(file, at + 8) == masked_crc32c(file.substr(at, 8)));
    records.push_back(file.substr(at + 12, length));
    REQUIRE(records.back().size() == length);
    CHECK(number_at<uint32_t>(file, at + 12 + length) == masked_crc32c(records.back()));
    at += length + 16;
  }
  return records;
}

uint64_t varint_at(const std::string& message, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(message.at(at++));
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
}

// The fields of a message in their order; those of fixed width and varints as their 8 or 4 bytes.
std::vector<std::pair<uint64_t, std::string>> fields_of(const std::string& message) {
  std::vector<std::pair<uint64_t, std::string>> fields;
  for (size_t at = 0; at < message.size();) {
    const uint64_t key = varint_at(message, at), wire = key & 7;
    std::string value(8, '\0');
    if (wire == 0) {
      const uint64_t number = varint_at(message, at);
      std::memcpy(value.data(), &number, 8);
    } else {
      REQUIRE((wire == 1 || wire == 2 || wire == 5));
      const uint64_t size = wire == 1 ? 8 : wire == 5 ? 4 : varint_at(message, at);
      value = message.substr(at, size);
      REQUIRE(value.size() == size);
      at += size;
    }
    fields.emplace_back(key >> 3, value);
  }
  return fields;
}

struct Events {
  std::map<std::string, std::vector<std::pair<int64_t, float>>> scalars;
  std::vector<std::pair<int64_t, std::string>> pictures;  // PNG
  std::vector<int64_t> starts;
};

// As TensorBoard reads a folder: in the order of names; a start forgets its step and later ones.
Events events_in(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = read_file(entry.path().string());
  Events all;
  for (const auto& [name, bytes] : files) {
    CHECK(name.starts_with("events.out.tfevents."));
    for (const std::string& record : records_in(bytes)) {
      int64_t step = 0;
      for (const auto& [field, value] : fields_of(record)) {
        if (field == 2) step = number_at<int64_t>(value, 0);
        if (field == 3) CHECK(value == "brain.Event:2");
        if (field == 7) {
          all.starts.push_back(step);
          const auto later = [&](const auto& point) { return point.first >= step; };
          for (auto& [tag, points] : all.scalars) std::erase_if(points, later);
          std::erase_if(all.pictures, later);
        }
        if (field != 5) continue;
        for (const auto& [one, summary] : fields_of(value)) {
          const auto parts = fields_of(summary);
          REQUIRE(one == 1);
          REQUIRE(parts.size() == 2);
          if (parts[1].first == 2)
            all.scalars[parts[0].second].emplace_back(step, number_at<float>(parts[1].second, 0));
          else
            all.pictures.emplace_back(step, fields_of(parts[1].second).back().second);
        }
      }
    }
  }
  return all;
}

// Every number of a CSV of the run must be in the events, under `prefix` or the column's own tag.
void check_scalars(const Events& events, const std::string& csv, const std::string& prefix) {
  const MetricsTable table = read_metrics(csv);
  for (const std::string& column : table.columns) {
    std::string tag = column;
    if (prefix.empty() && (column.starts_with("train_") || column.starts_with("test_")))
      tag[tag.find('_')] = '/';
    CAPTURE(tag);
    REQUIRE(events.scalars.contains(prefix + tag));
    const auto& points = events.scalars.at(prefix + tag);
    const auto values = table.column(column);
    REQUIRE(points.size() == values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      CHECK(points[i].second == static_cast<float>(values[i]));
      if (i > 0) CHECK(points[i].first > points[i - 1].first);
    }
  }
}

Ended succeed(const std::string& command, const std::vector<std::string>& environment = {}) {
  const Ended ended = run(command, environment);
  CAPTURE(ended.err);
  REQUIRE(ended.code == 0);
  return ended;
}

}  // namespace

TEST_CASE("event file: CRC32C of RFC 3720, and its mask") {
  std::string rising(32, '\0'), falling(32, '\0');
  for (int i = 0; i < 32; ++i) rising[i] = static_cast<char>(i);
  for (int i = 0; i < 32; ++i) falling[i] = static_cast<char>(31 - i);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);  // RFC 3720, appendix B.4
  CHECK(crc32c(std::string(32, '\xff')) == 0x62a8ab43u);
  CHECK(crc32c(rising) == 0x46dd794eu);
  CHECK(crc32c(falling) == 0x113fdb5cu);
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(masked_crc32c("") == 0xa282ead8u);
  // The rotation by hand: the upper 17 bits go down, the lower 15 up.
  CHECK(masked_crc32c("123456789") == ((0xe3069283u >> 15) | (0xe3069283u << 17)) + 0xa282ead8u);
}

TEST_CASE("event file: records, scalars and a picture come back") {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "events";
  const std::string png = "\x89PNG\r\n\x1a\n" + std::string("\0\0\0\rIHDR\0\0\1\2\0\0\0\3", 16);
  CHECK_FALSE(has_events(folder));
  {
    EventFile file(folder, 1);
    file.add_scalars(7, {{"train/loss", 0.1}, {"lr", 1e-30}});
    file.add_scalars(int64_t{1} << 40, {{"lr", -1}});
    file.add_picture(7, "picture", png);
  }
  CHECK(has_events(folder));
  const Events events = events_in(folder);
  CHECK(events.starts == std::vector<int64_t>{1});
  using Points = std::vector<std::pair<int64_t, float>>;
  CHECK((events.scalars.at("train/loss") == Points{{7, 0.1f}}));
  CHECK((events.scalars.at("lr") == Points{{7, 1e-30f}, {int64_t{1} << 40, -1.f}}));
  REQUIRE(events.pictures.size() == 1);
  CHECK((events.pictures[0] == std::pair(int64_t{7}, png)));
}

TEST_CASE("appended file: whatever is left of a file, it ends as the text, and in place") {
  const TemporaryFolder temporary;
  const std::string path = temporary / "x.csv", text = "a,b\n1,2\n3,4\n5,6\n";
  for (size_t length = 0; length <= text.size(); ++length)
    for (const char* more : {"", "5", "9,9\n7", "3,4\n5,6\n7,8\n"}) {
      write_file(path, text.substr(0, length) + more);
      const fs::path link = temporary / "same";  // as a reader that has the file open
      fs::create_hard_link(path, link);
      append_up_to(path, text);
      CHECK(read_file(link.string()) == text);
      fs::remove(link);
    }
  CHECK(contains(error_of([&] { append_up_to(temporary / "no/x.csv", text); }), "no/x.csv"));
}

TEST_CASE("appended file: on a full disk nothing is appended") {
  const TemporaryFolder temporary;
  const std::string path = temporary / "x.csv";
  AppendedFile file(path);
  file.append("whole\n");
  {
    const FullDisk full(16);
    CHECK(contains(error_of([&] { file.append("a line that is too long\n"); }),
                   "cannot write " + path));
  }
  CHECK(read_file(path) == "whole\n");
  file.append("next\n");
  CHECK(read_file(path) == "whole\nnext\n");
}

TEST_CASE("progress: a line has the fields that fit") {
  const std::vector<std::string> fields = {"epoch 1/2", "recon 0.1", "codes 8"};
  CHECK(fitted(fields, 80) == "epoch 1/2 recon 0.1 codes 8");
  CHECK(fitted(fields, 27) == "epoch 1/2 recon 0.1 codes 8");
  CHECK(fitted(fields, 26) == "epoch 1/2 recon 0.1");
  CHECK(fitted(fields, 9) == "epoch 1/2");
  CHECK(fitted(fields, 5) == "epoch");
}

TEST_CASE("run log: a run that is killed has the files of one that was not, and TensorBoard's too" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string whole = temporary / "whole", folder = temporary / "run";
  succeed(tiny(whole, "--epochs 3 --tensorboard"));
  const Events undisturbed = events_in(whole + "/tensorboard");
  CHECK(undisturbed.pictures.size() == 3);
  CHECK(undisturbed.pictures.back().second == read_file(whole + "/reconstructions.png"));
  check_scalars(undisturbed, whole + "/metrics.csv", "");
  check_scalars(undisturbed, whole + "/steps.csv", "steps/");

  succeed(tiny(folder, "--epochs 3 --tensorboard --stop-after 0.000001"));  // before the first step
  {
    Process process(tiny(folder, "--epochs 3 --tensorboard --save-every 1"));
    while (process.running() && read_file(folder + "/steps.csv").find("\n2,") == std::string::npos)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    process.send(SIGKILL);
    process.wait();
  }
  // As if the kill had torn every line that was being written, and after a few more.
  for (const char* name : {"metrics.csv", "timing.csv", "gradients.csv", "steps.csv"})
    write_file(folder + "/" + name,
               read_file(folder + "/" + name) + "3,16,48,9.9,1,1,1,1,1,1,1\n9,");
  succeed(tiny(folder, "--epochs 3 --tensorboard"));
  for (const char* name : {"metrics.csv", "gradients.csv", "model.safetensors"})
    CHECK((read_file(folder + "/" + name) == read_file(whole + "/" + name)));
  CHECK(lines(read_file(folder + "/timing.csv")).size() == 4);
  const MetricsTable steps = read_metrics(folder + "/steps.csv");
  CHECK(steps.last("step") == 3 * kTinySteps);
  CHECK(steps.last("seconds") < 9);
  for (const std::string column : {"step", "seconds"}) {
    const auto values = steps.column(column);
    CHECK(std::is_sorted(values.begin(), values.end()));
  }
  const Events events = events_in(folder + "/tensorboard");
  CHECK(events.starts.size() == 3);
  check_scalars(events, folder + "/metrics.csv", "");
}

TEST_CASE("run log: steps.csv has the means since the row before, of all batches" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  succeed(tiny(folder, "--epochs 2 --lr-at 2:0.003 --warmup 20"));
  const MetricsTable steps = read_metrics(folder + "/steps.csv"),
                     metrics = read_metrics(folder + "/metrics.csv");
  for (double epoch : {1., 2.}) {
    double batches = 0, recon = 0, before = 0;
    for (const auto& row : steps.rows) {
      if (row[0] != epoch) continue;
      recon += row[5] * (row[1] - before);
      batches += row[1] - before;
      before = row[1];
    }
    CHECK(batches == kTinySteps);
    CHECK(recon / batches ==
          doctest::Approx(metrics.column("train_recon_loss")[size_t(epoch) - 1]).epsilon(1e-6));
  }
  CHECK(steps.last("codes_used") == metrics.last("train_codes_used"));
  CHECK(steps.last("learning_rate") == doctest::Approx(0.003));
  const auto rates = steps.column("learning_rate");  // 16 of 20 steps of the warmup
  CHECK(rates[steps.rows.size() / 2 - 1] == doctest::Approx(2e-4 * 16 / 20));
}

TEST_CASE("runs: --tensorboard on a run that was begun without it has all epochs" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string folder = temporary / "run";
  succeed(tiny(folder, "--epochs 3"));
  const auto rows = lines(read_file(folder + "/metrics.csv"));
  fs::remove(folder + "/metrics.csv");  // as killed after the checkpoint of the last epoch
  succeed(tiny(folder, "--epochs 3 --tensorboard"));
  check_scalars(events_in(folder + "/tensorboard"), folder + "/metrics.csv", "");
}

TEST_CASE("runs: --stop-after saves, and the run ends with the same bytes" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const std::string whole = temporary / "whole", folder = temporary / "run";
  succeed(tiny(whole, "--epochs 3"));
  int stops = 0;
  for (std::string out; !contains(out, "finished after 3 epochs"); ++stops) {
    REQUIRE(stops < 1000);
    out = succeed(tiny(folder, "--epochs 3 --stop-after 0.05s")).out;
    CHECK((contains(out, "stopped after") || contains(out, "finished after")));
  }
  for (const char* name : {"metrics.csv", "gradients.csv", "model.safetensors"})
    CHECK((read_file(folder + "/" + name) == read_file(whole + "/" + name)));
  for (const char* wrong : {"soon", "3w", "-1", "1mm", "nan"}) {
    const Ended ended = run(tiny(folder, std::string("--stop-after ") + wrong));
    CHECK(ended.code == 2);
    CHECK(contains(error_line(ended), "--stop-after"));
  }
}

TEST_CASE("runs: --patience ends a run early, and it counts as finished" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const auto options = [](const std::string& more) {
    return "train --data synthetic --latent 8 --codes 8 --train-images 64 --validation-images 32 "
           "--batch-size 16 --threads 1 --lr 0 --owner gradient --dead-codes 0 --patience 2 " +
           more;
  };
  const std::string results = "--results " + (temporary / "results");
  // Without a learning rate no epoch is better than the first.
  const Ended first = succeed(options(results + " --epochs 9"));
  CHECK(contains(first.out, "finished after 3 of 9 epochs, 2 without a better one than epoch 1"));
  const auto folder = first.out.substr(0, first.out.find(':'));
  CHECK(read_metrics(folder + "/metrics.csv").rows.size() == 3);
  const auto trained = [&](const std::string& name) {
    return read_safetensors(folder + "/" + name).metadata.at("trained_epochs");
  };
  CHECK(trained("best.safetensors") == "1");
  CHECK(trained("model.safetensors") == "3");
  const auto before = tree(folder);
  const Ended again = succeed(options(results + " --epochs 9"));
  CHECK(contains(again.out, "finished before, after 3 of 9"));
  CHECK((tree(folder) == before));
  // A longer run begins with it, and has ended too.
  const Ended longer = succeed(options(results + " --epochs 20"));
  CHECK(contains(longer.out, "finished after 3 of 20 epochs"));
  CHECK(contains(longer.err, "resuming after 3 epochs"));
  // Killed between the last checkpoint and the row that says so.
  const std::string metrics = read_file(folder + "/metrics.csv");
  write_file(folder + "/metrics.csv", metrics.substr(0, metrics.size() - 20));
  CHECK(contains(succeed(options(results + " --epochs 9")).out, "finished after 3 of 9"));
  CHECK(read_file(folder + "/metrics.csv") == metrics);
  const Ended refused = run(tiny(temporary / "r", "--patience 2"));
  CHECK(refused.code == 2);
  CHECK(contains(error_line(refused), "--patience: needs --validation-images"));
}

TEST_CASE("runs: a change of the learning rate, and which shorter runs it continues" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  const auto train = [&](const std::string& results, const std::string& more) {
    const Ended ended = succeed(
        "train --data synthetic --latent 8 --codes 8 --train-images 64 --test-images 16 "
        "--batch-size 16 --threads 1 --results " +
        (temporary / results) + " " + more);
    return std::pair(read_file(ended.out.substr(0, ended.out.find(':')) + "/metrics.csv"),
                     contains(ended.err, "resuming"));
  };
  const auto plain = train("a", "--epochs 2");
  const auto longer = train("a", "--epochs 3 --lr-at 3:0.01");
  CHECK(longer.second);  // the first two epochs are those of the run without a change
  const auto longest = train("a", "--epochs 4 --lr-at 3:0.01,4:1e-3");
  CHECK(longest.second);
  CHECK(longest.first.starts_with(longer.first));
  CHECK(longer.first.starts_with(plain.first));
  CHECK((train("b", "--epochs 4 --lr-at 3:1e-2,4:0.001") == std::pair(longest.first, false)));
  CHECK((train("c", "--epochs 3").first != longer.first));
  CHECK_FALSE(train("a", "--epochs 3 --lr-at 2:0.01").second);  // differs in the second epoch
  for (const char* wrong : {"3", "1:0.1", "3:0.1,2:0.1", "3:x", "3:-1", "3:0.1,", "3:inf", "99:0.1",
                            "3:0.1 --lr-schedule cosine"}) {
    CAPTURE(wrong);
    const Ended ended = run(tiny(temporary / "w", std::string("--lr-at ") + wrong));
    CHECK(ended.code == 2);
    CHECK(contains(error_line(ended), "--lr-at: "));
  }
}

TEST_CASE("progress: lines of a log fit 80 columns and name the run where several train" *
          doctest::skip(without_programs())) {
  const TemporaryFolder temporary;
  for (const bool several : {false, true}) {
    const std::string folder = temporary / ("runs/ste-kmeans-k8-d8-seed7-0a1b2c3" + str(several));
    const Ended ended = succeed(tiny(folder, "--epochs 2 --seed 7"),
                                {several ? "SIDE_BY_SIDE=4" : "SIDE_BY_SIDE="});
    const auto printed = lines(ended.err);
    REQUIRE(printed.size() == 2);
    for (const std::string& line : printed) {
      CHECK(line.size() <= 80);
      CHECK(line.starts_with(several ? "seed7-0a1b2c31: epoch " : "epoch "));
      CHECK(contains(line, " recon 0."));
    }
  }
}

}  // namespace versor::testing
