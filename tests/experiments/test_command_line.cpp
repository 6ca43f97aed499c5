// Wrong usage and missing things, program by program: the exit code (2 for wrong usage, 1 for the
// rest), one line on standard error that names the option or the file, and nothing on disk changed.
#include <fstream>

#include "experiments/cli/version.h"
#include "nn/safetensors.h"
#include "tensor/backend.h"
#include "tests/experiments/programs.h"

namespace versor::testing {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrograms[] = {"train",
                                     "evaluate",
                                     "encode",
                                     "decode",
                                     "inspect",
                                     "prune",
                                     "one_step",
                                     "bench",
                                     "probe",
                                     "table1",
                                     "table2",
                                     "table3",
                                     "figures",
                                     "table_attribution",
                                     "table_estimators",
                                     "table_quantizers",
                                     "verdicts",
                                     "report",
                                     "tsne",
                                     "sweep"};

struct Wrong {
  std::string command;
  std::string part;  // of the line
};

// Runs each in a folder with one file, and checks that the file is unchanged.
void check_all(int code, const std::vector<Wrong>& all) {
  const TemporaryFolder temporary;
  write_file(temporary / "file", "as it was");
  const auto before = tree(temporary.path().string());
  for (const Wrong& wrong : all) {
    CAPTURE(wrong.command);
    const Ended ended = run(wrong.command, {}, temporary.path().string(), std::chrono::seconds(30));
    CHECK(ended.code == code);
    const std::string line = error_line(ended);
    CHECK(contains(line, wrong.part));
    CHECK(ended.out.empty());
    CHECK((tree(temporary.path().string()) == before));
  }
}

void write_of_size(const std::string& path, uintmax_t bytes) {
  std::ofstream(path, std::ios::binary).flush();
  fs::resize_file(path, bytes);  // zeros, which take no room on the disk
}

// A folder with all files of CIFAR-10, black images of class 0.
void make_black_cifar10(const std::string& folder) {
  fs::create_directories(folder);
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                           "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"})
    write_of_size(folder + "/" + name, 30'730'000);
}

// Weights and a batch that bin/one_step takes, from the golden files.
struct OneStepFiles {
  TemporaryFolder folder;
  std::string weights = folder / "weights.safetensors", batch = folder / "batch.safetensors";
  SafetensorsFile tensors = read_safetensors("tests/golden/weights-small.safetensors");

  OneStepFiles() {
    write_safetensors(weights, tensors);
    fs::copy_file("tests/golden/batch-small.safetensors", batch);
  }
  Ended run_with(const std::string& w, const std::string& x, const std::string& out) const {
    return run("one_step --threads 1 --weights " + w + " --batch " + x + " --out " + out, {},
               folder.path().string());
  }
  void check_refused(const std::string& w, const std::string& x, const std::string& out,
                     const std::vector<std::string>& parts) const {
    const auto before = tree(folder.path().string());
    const Ended ended = run_with(w, x, out);
    CHECK(ended.code == 1);
    const std::string line = error_line(ended);
    for (const std::string& part : parts) CHECK(contains(line, part));
    CHECK((tree(folder.path().string()) == before));
  }
};

}  // namespace

TEST_CASE("usage: wrong values of train's options" * doctest::skip(without_programs())) {
  const std::string train = "train --data synthetic ";
  std::vector<Wrong> all;
  for (const char* wrong : {"--codes 0",        "--model wrong",
                            "--codes -1",       "--codes x",
                            "--codes 8x",       "--codes 1.5",
                            "--latent 1",       "--latent 0",
                            "--beta -1",        "--beta nan",
                            "--beta inf",       "--beta x",
                            "--decay 2",        "--decay -0.1",
                            "--decay nan",      "--lr -1",
                            "--lr nan",         "--lr x",
                            "--batch-size 0",   "--batch-size -5",
                            "--epochs 0",       "--epochs x",
                            "--seed -1",        "--seed x",
                            "--train-images 0", "--test-images 0",
                            "--threads 0",      "--threads x",
                            "--dead-codes 2",   "--dead-codes nan",
                            "--dead-codes -1",  "--ema-in-eval x",
                            "--estimator foo",  "--owner foo",
                            "--preset foo",     "--codebook-start x",
                            "--accumulators x", "--device foo",
                            "--device cuda:x",  "--precision fp16",
                            "--data cifar1",    "--save-every 0",
                            "--codes",          "--unknown",
                            "--unknown 3",      "--seed 18446744073709551616"}) {
    const bool second_data = std::string(wrong).starts_with("--data ");
    all.push_back({(second_data ? "train " : train) + wrong, words(wrong)[0]});
  }
  all.push_back({train + "--codes 8 --codes 16", "--codes"});
  all.push_back({train + "surplus", "surplus"});
  all.push_back({train + "--batch-size 64 --train-images 32", "--batch-size"});
  all.push_back({train + "--data-dir somewhere", "--data-dir"});
  check_all(2, all);
}

TEST_CASE("usage: wrong values of the other programs' options" *
          doctest::skip(without_programs())) {
  const std::string one = "one_step --weights file --batch file --out out ";
  std::vector<Wrong> all = {{"one_step", "--weights"},
                            {"one_step --weights file --batch file", "--out"},
                            {"one_step --weights file --out out", "--batch"}};
  for (const char* wrong : {"--estimator foo", "--owner foo", "--beta -1", "--beta nan", "--lr -1",
                            "--lr nan", "--decay 2", "--decay nan", "--steps 0", "--steps x",
                            "--device foo", "--precision x", "--threads 0", "--unknown"})
    all.push_back({one + wrong, words(wrong)[0]});
  for (const char* wrong :
       {"--batch 0", "--batch x", "--latent 1", "--codes 0", "--repeats 0", "--device foo",
        "--precision x", "--threads 0", "--unknown", "--epoch 0", "--epoch x", "--epoch 8000",
        "--json", "--precision fp32,x", "--serve --sweep", "--serve --precision fp32,bf16"})
    all.push_back({std::string("bench ") + wrong, words(wrong)[0]});
  for (const char* wrong :
       {"--codes 0", "--latent 1", "--batch-size 0", "--epochs 0", "--estimator foo",
        "--preset foo", "--device foo", "--decay nan", "--lr nan", "--seeds x", "--seeds 1,x",
        "--seeds -1", "--seeds", "--threads 0", "--unknown"})
    all.push_back({std::string("table3 --data synthetic ") + wrong, words(wrong)[0]});
  const std::vector<Wrong> of_models = {
      {"encode", "model"},
      {"encode file", "--output"},
      {"encode file --output x --images all", "--images"},
      {"encode file --output x --images test --input y", "--images"},
      {"encode file --output x --size 64", "--size"},
      {"decode", "model"},
      {"decode file", "symbols"},
      {"decode file file", "--output"},
      {"inspect", "model"},
      {"inspect file --usage 0", "--usage"},
      {"inspect file --batch x", "--batch"},
      {"inspect file x.dot", "--tape"},
      {"prune", "runs"},
      {"prune file --unknown", "--unknown"}};
  all.insert(all.end(), of_models.begin(), of_models.end());
  all.push_back({"table3 --quick --batch-size 5000 --data synthetic", "--batch-size"});
  all.push_back({"table2 --quick --data synthetic --quantizer fsq", "--quantizer"});
  check_all(2, all);
}

bool has_gpu() {
  return error_of([] { backend_for({DeviceType::cuda, 0}); }).empty();
}

TEST_CASE("errors: what this machine does not have" *
          doctest::skip(without_programs() || has_gpu())) {
  std::vector<Wrong> all;
  for (const std::string program :
       {"train --data synthetic --train-images 128", "bench --batch 4 --latent 4 --codes 4",
        "table3 --data synthetic --train-images 128"})
    all.push_back({program + " --precision tf32", "precision"});
  for (const std::string program :
       {"train --data synthetic --train-images 128", "bench --batch 4 --latent 4 --codes 4",
        "table3 --data synthetic --train-images 128"})
    for (const char* device : {"cuda", "cuda:1"})
      all.push_back({program + " --device " + device, "no CUDA device"});
  check_all(1, all);
  const OneStepFiles files;
  for (const char* wrong : {"--precision tf32", "--device cuda"}) {
    CAPTURE(wrong);
    const Ended ended = run("one_step --weights " + files.weights + " --batch " + files.batch +
                            " --out " + (files.folder / "out") + " " + wrong);
    CHECK(ended.code == 1);
    CHECK(contains(error_line(ended),
                   std::string(wrong) == "--device cuda" ? "no CUDA device" : "precision"));
    CHECK_FALSE(fs::exists(files.folder / "out"));
  }
}

TEST_CASE("errors: images that are missing or broken" * doctest::skip(without_programs())) {
  const TemporaryFolder data;
  make_black_cifar10(data / "whole");
  for (const char* name : {"truncated", "large", "missing", "one"}) make_black_cifar10(data / name);
  fs::resize_file(data / "truncated/data_batch_3.bin", 30'729'999);
  fs::resize_file(data / "large/data_batch_1.bin", 30'730'001);
  fs::remove(data / "missing/data_batch_4.bin");
  fs::resize_file(data / "one/data_batch_2.bin", 0);
  std::vector<Wrong> all;
  for (const std::string program : {"train", "table3"}) {
    const std::string with = program + " --data-dir ";
    all.push_back({with + (data / "nowhere"), "the folder " + (data / "nowhere")});
    all.push_back({with + "file", "file is not a folder"});
    all.push_back({with + (data / "truncated"),
                   "data_batch_3.bin has 30729999 bytes, which is no whole number of"});
    all.push_back({with + (data / "large"),
                   "data_batch_1.bin has 30730001 bytes, which is no whole number of"});
    all.push_back({with + (data / "one"), "data_batch_2.bin is truncated"});
    all.push_back({with + (data / "missing"), "data_batch_4.bin does not exist"});
    // Once where nothing says where they are, and once where the environment does.
    all.push_back({program, "data/cifar-10-batches-bin"});
  }
  all.push_back({"train --batch-size 50001 --data-dir " + (data / "whole"), "--batch-size 50001"});
  check_all(1, all);
  const Ended ended = run("train", {"CIFAR10_DIR=" + (data / "elsewhere")});
  CHECK(ended.code == 1);
  CHECK(contains(error_line(ended), data / "elsewhere"));
}

TEST_CASE("errors: places that cannot be written to" * doctest::skip(without_programs())) {
  const std::string sizes =
      " --data synthetic --latent 4 --codes 4 --train-images 16 "
      "--test-images 16 --batch-size 16 --epochs 1 --threads 1 --quiet ";
  check_all(1, {{"train" + sizes + "--out file", "file"},
                {"train" + sizes + "--out file/below", "file/below"},
                {"train" + sizes + "--out /proc/versor", "/proc/versor"},
                {"train" + sizes + "--results file", "file/runs/"},
                {"train" + sizes + "--results /proc/versor", "/proc/versor/runs/"},
                {"bench --batch 2 --latent 4 --codes 4 --json file/below", "file/below"},
                {"table3" + sizes + "--results file", "file/runs/"},
                {"table3" + sizes + "--results /proc/versor", "/proc/versor/runs/"}});
}

TEST_CASE("errors: files that bin/one_step cannot take" * doctest::skip(without_programs())) {
  OneStepFiles files;
  const std::string &w = files.weights, &x = files.batch, out = files.folder / "out";
  const std::string other = files.folder / "other";
  const auto rewritten = [&](const std::string& name, const Tensor& tensor) {
    SafetensorsFile changed;
    changed.tensors[name] = tensor;
    if (name != "images") {
      changed = files.tensors;
      changed.tensors[name] = tensor;
    }
    write_safetensors(other, changed);
    return other;
  };
  const auto zeros = [](const Shape& shape) {
    return Tensor::from(std::vector<float>(static_cast<size_t>(shape.numel()), 0.f), shape);
  };
  files.check_refused(files.folder / "none", x, out, {files.folder / "none"});
  files.check_refused(w, files.folder / "none", out, {files.folder / "none"});
  files.check_refused(w, files.folder.path().string(), out, {files.folder.path().string()});
  files.check_refused(x, x, out, {x, "encoder.0.weight"});  // a batch given as weights
  files.check_refused(w, w, out, {w, "images"});
  files.check_refused(w, rewritten("images", zeros({2, 3, 30, 30})), out, {other, "[2,3,30,30]"});
  files.check_refused(w, rewritten("images", zeros({3, 32, 32})), out, {other, "[3,32,32]"});
  files.check_refused(w, rewritten("images", zeros({2, 4, 32, 32})), out, {other, "[2,4,32,32]"});
  files.check_refused(rewritten("encoder.2.bias", zeros({5})), x, out, {other, "encoder.2.bias"});
  files.check_refused(rewritten("codebook.weight", zeros({5})), x, out, {other, "codebook.weight"});
  files.check_refused(rewritten("surplus", zeros({5})), x, out, {other, "surplus"});
  files.tensors.tensors.erase("decoder.2.weight");
  files.check_refused(rewritten("ema_dw", files.tensors.at("ema_dw", w)), x, out,
                      {other, "decoder.2.weight"});
  write_file(other, read_file(w).substr(0, 1000));
  files.check_refused(other, x, out, {other});
  write_file(other, "no tensors");
  files.check_refused(w, other, out, {other});
}

TEST_CASE("errors: bin/one_step cannot write its output" * doctest::skip(without_programs())) {
  const OneStepFiles files;
  const std::string folder = files.folder.path().string();
  for (const std::string& out :
       {folder, folder + "/no/out", files.weights + "/out", std::string("/proc/versor")}) {
    CAPTURE(out);
    files.check_refused(files.weights, files.batch, out, {out});
  }
  CHECK(files.run_with(files.weights, files.batch, folder + "/out").code == 0);
}

TEST_CASE("programs: --help and --version" * doctest::skip(without_programs())) {
  for (const std::string program : kPrograms) {
    CAPTURE(program);
    const Ended help = run(program + " --help");
    CHECK(help.code == 0);
    CHECK(help.err.empty());
    CHECK(contains(help.out, "--version"));
    for (const char* option : {"--device", "--precision", "--threads"})
      if (program != "verdicts" && program != "report" && program != "tsne" && program != "prune")
        CHECK(contains(help.out, option));
    const Ended about = run(program + " --version");
    CHECK(about.code == 0);
    CHECK(about.err.empty());
    CHECK(about.out == version() + " (commit " + commit() + ")\n");
  }
}

// /dev/full accepts no byte, and standard output is flushed when a program ends.
TEST_CASE("errors: standard output that cannot be written, in every program" *
          doctest::skip(without_programs() || !fs::exists("/dev/full"))) {
  const TemporaryFolder temporary;
  const OneStepFiles files;
  write_file(temporary / "points.csv", "1,2\n3,5\n2,7\n");
  const std::string results = " --results " + (temporary / "results");
  std::vector<std::string> commands = {
      tiny(temporary / "run", "--epochs 1 --quiet"),
      tiny(temporary / "run", "--epochs 1 --quiet"),  // finished before
      "table1 --data synthetic --train-images 64 --test-images 16" + results,
      "bench --batch 2 --latent 8 --codes 8 --repeats 1 --threads 1",
      "bench --batch 2 --latent 8 --codes 8 --serve --threads 1",
      "verdicts" + results,
      "evaluate --data synthetic " + (temporary / "run"),
      "encode --data synthetic " + (temporary / "run") + " --output " + (temporary / "s.npy"),
      "decode " + (temporary / "run") + " " + (temporary / "s.npy") + " --output " +
          (temporary / "d"),
      "inspect " + (temporary / "run"),
      "inspect --tape " + (temporary / "run"),
      "prune --dry-run " + (temporary / "run"),
      "report" + results,
      "tsne --iterations 1 --input " + (temporary / "points.csv") + " --out " + (temporary / "xy")};
  for (const char* table : {"table2", "table3", "figures", "table_attribution", "table_estimators",
                            "table_quantizers", "sweep BETA=1,2"})
    commands.push_back(std::string(table) + " --list --quick --data synthetic" + results);
  for (const char* program : kPrograms) commands.push_back(std::string(program) + " --help");
  for (const std::string& command : commands) {
    CAPTURE(command);
    write_file(temporary / "line.sh", program_folder() + "/" + command + " >/dev/full");
    const Ended ended = run("sh " + (temporary / "line.sh"));
    CHECK(ended.code == 1);
    error_line(ended);
  }
}

TEST_CASE("programs: bench measures a small step, with and without oneDNN" *
          doctest::skip(without_programs())) {
  const std::string bench = "bench --batch 2 --latent 8 --codes 8 --repeats 2 --threads 1";
  const Ended reference = run(bench, {"VERSOR_ONEDNN=0"});
  CHECK(reference.code == 0);
  CHECK(contains(reference.out, "cpu, 1 threads, fp32: D 8, K 8, batch 2\n"));
  CHECK(contains(reference.out, "floor  not measured"));
  const Ended plain = run(bench);
  CHECK(plain.code == 0);
  for (const Ended& ended : {reference, plain})
    for (const char* part : {"\nstep ", "\nfloor ", "conv2d", "tensor memory, MiB"})
      CHECK(contains(ended.out, part));
}

}  // namespace versor::testing
