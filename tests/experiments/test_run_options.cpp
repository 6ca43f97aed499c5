// Options of a run: what the presets stand for, that an explicit flag wins, and what is refused.
#include <functional>

#include "tests/experiments/run_options.h"

namespace versor::testing {

TEST_CASE("options: what a kind of quantizer would ignore is refused, what it has anyway is not") {
  const std::pair<const char*, const char*> refused[] = {
      {"--levels 4,4", "--levels: is of --quantizer fsq, not of vq"},
      {"--quantizer lfq --levels 4,4", "--levels: is of --quantizer fsq, not of lfq"},
      {"--entropy-weight 0.2", "--entropy-weight: is of --quantizer lfq and bsq, not of vq"},
      {"--quantizer fsq --dead-codes 0.2", "--dead-codes: is of --quantizer vq, not of fsq"},
      {"--quantizer fsq --decay 0.5", "--decay: is of --quantizer vq, not of fsq"},
      {"--quantizer simvq --owner ema", "--owner: is of --quantizer vq, not of simvq"},
      {"--quantizer bsq --codebook-start kmeans", "--codebook-start: is of --quantizer vq"},
      {"--quantizer bsq --accumulators zero", "--accumulators: is of --quantizer vq"},
      {"--quantizer lfq --ema-in-eval 1", "--ema-in-eval: is of --quantizer vq"},
      {"--quantizer fsq --codes 512", "--codes: fsq has as many codes as its --levels make, 1000"}};
  for (const auto& [arguments, message] : refused) {
    CAPTURE(std::string(arguments));
    CHECK(contains(usage_error_of(arguments), message));
  }
  for (const char* arguments :
       {"--quantizer fsq --codes 1000", "--quantizer fsq --codes 32 --levels 8,4",
        "--quantizer lfq --dead-codes 0 --owner gradient --codebook-start uniform",
        "--quantizer bsq --accumulators warm --ema-in-eval 0 --entropy-weight 0.2"}) {
    CAPTURE(std::string(arguments));
    CHECK(usage_error_of(arguments) == "");
  }
}

TEST_CASE("options: diveq's noise is that of the authors' code, and always in its config") {
  const RunOptions o = parsed("--estimator diveq");
  CHECK(*o.diveq_noise == 0.001);
  CHECK(config(o)["diveq_noise"] == 0.001);
  CHECK(model_options(o).quantizer.estimator.noise_deviation == 0.001);
  const RunOptions other = parsed("--estimator diveq --diveq-noise 0.07");
  CHECK(model_options(other).quantizer.estimator.noise_deviation == 0.07);

  // A run made before the option existed had another noise, and does not stand for this one.
  auto old = config(o);
  old.erase("diveq_noise");
  CHECK(run_name(old) != run_name(config(o)));
  CHECK(differing_options(old, config(o)) == "--diveq-noise none, asked for 0.001");

  CHECK(!config(parsed("")).contains("diveq_noise"));
  CHECK(contains(usage_error_of("--diveq-noise 0.01"), "--diveq-noise: is of --estimator diveq"));
  // A program that sets the estimator itself accepts the option for the runs with diveq.
  RunOptions ste;
  ste.estimator = Estimator::ste;
  ste.diveq_noise = 0.01;
  apply_preset(ste);
  CHECK(!ste.diveq_noise);
}

TEST_CASE("options: the presets are what they are said to be") {
  for (const char* arguments : {"", "--preset versor"}) {
    const RunOptions o = parsed(arguments);
    CHECK(*o.estimator == Estimator::rotation);
    CHECK(*o.learning == CodebookLearning::ema);
    CHECK(*o.codebook_start == CodebookStart::kmeans);
    CHECK(*o.accumulators == Accumulators::warm);
    CHECK(*o.dead_codes == 0.1);
    CHECK(*o.ema_in_eval == false);
  }
  const RunOptions o = parsed("--preset published");
  CHECK(*o.estimator == Estimator::published);
  CHECK(*o.learning == CodebookLearning::both);
  CHECK(*o.codebook_start == CodebookStart::uniform);
  CHECK(*o.accumulators == Accumulators::zero);
  CHECK(*o.dead_codes == 0);
  CHECK(*o.ema_in_eval == true);

  // The paper's task with another recipe: the same model, and the decoder always gets codes.
  const RunOptions best = parsed("--preset best"), versor = parsed("");
  CHECK(passes_code(*best.estimator));
  CHECK(*best.ema_in_eval == false);
  CHECK(std::pair(best.codes, best.latent) == std::pair(versor.codes, versor.latent));
  CHECK(*best.lr_schedule == LrSchedule::cosine);
  CHECK(*parsed("--preset best --lr-schedule constant --lr 0.5").lr == 0.5);
  CHECK((*best.codebook_dim > 0 && *best.warmup > 0));
  CHECK(*parsed("--preset best --codebook-dim 0 --warmup 0").codebook_dim == 0);
  CHECK(*parsed("--preset best --codebook-dim 0 --warmup 0").warmup == 0);
  CHECK(*parsed("--preset best --quantizer fsq").codebook_dim == 0);  // a grid has its own
  CHECK((*versor.codebook_dim == 0 && *versor.warmup == 0));
  CHECK(*versor.lr_schedule == LrSchedule::constant);
}

TEST_CASE("options: the defaults are the published runs' sizes") {
  const RunOptions o = parsed("");
  CHECK(o.codes == 1024);
  CHECK(o.latent == 256);
  CHECK(o.beta == 0.25);
  CHECK(o.decay == 0.99);
  CHECK(o.lr == 2e-4);
  CHECK(o.batch_size == 128);
  CHECK(o.epochs == 50);
  CHECK(o.precision ==
        (backend_for({}).info().fast_bf16 ? Precision::bf16 : Precision::fp32));  // of "auto"
  CHECK(parsed("--precision fp32").precision == Precision::fp32);
  CHECK(o.device == Device());
  CHECK(o.data == ImageSource{DataKind::cifar10});
}

TEST_CASE("options: a flag of its own wins over the preset, before it or after it") {
  const std::pair<const char*, std::function<bool(const RunOptions&)>> flags[] = {
      {"--estimator ste", [](const RunOptions& o) { return *o.estimator == Estimator::ste; }},
      {"--owner gradient",
       [](const RunOptions& o) { return *o.learning == CodebookLearning::gradient; }},
      {"--codebook-start kmeans",
       [](const RunOptions& o) { return *o.codebook_start == CodebookStart::kmeans; }},
      {"--accumulators warm",
       [](const RunOptions& o) { return *o.accumulators == Accumulators::warm; }},
      {"--dead-codes 0.5", [](const RunOptions& o) { return *o.dead_codes == 0.5; }},
      {"--ema-in-eval 0", [](const RunOptions& o) { return !*o.ema_in_eval; }}};
  const auto published = config(parsed("--preset published"));
  for (const auto& [flag, holds] : flags) {
    CAPTURE(flag);
    const RunOptions before = parsed(std::string(flag) + " --preset published");
    const RunOptions after = parsed(std::string("--preset published ") + flag);
    CHECK(holds(before));
    CHECK(holds(after));
    // And nothing else differs from the preset.
    int differences = 0;
    const auto changed = config(after);
    for (const auto& [key, value] : published.items()) differences += changed[key] != value;
    CHECK(differences == 1);
    CHECK(config(before) == changed);
  }
}

TEST_CASE("options: a preset is only a name for its flags") {
  CHECK(run_name(config(parsed("--preset published"))) ==
        run_name(config(parsed("--estimator published --owner both --codebook-start uniform "
                               "--accumulators zero --dead-codes 0 --ema-in-eval 1"))));
}

TEST_CASE("options: the model gets what the options say") {
  const VqVaeOptions m =
      model_options(parsed("--preset published --codes 7 --latent 6 --decay 0.5 --owner gradient"));
  CHECK(m.quantizer.estimator.estimator == Estimator::published);
  CHECK(m.quantizer.codebook.codes == 7);
  CHECK(m.quantizer.codebook.latent == 6);
  CHECK(m.quantizer.codebook.decay == 0.5);
  CHECK(m.quantizer.codebook.learning == CodebookLearning::gradient);
  CHECK(m.quantizer.codebook.start == CodebookStart::uniform);
  CHECK(m.quantizer.codebook.accumulators == Accumulators::zero);
  CHECK(m.quantizer.codebook.dead_code_fraction == 0);
  const VqVaeOptions own = model_options(parsed("--dead-codes 0.25"));
  CHECK(own.quantizer.estimator.estimator == Estimator::rotation);
  CHECK(own.quantizer.codebook.learning == CodebookLearning::ema);
  CHECK(own.quantizer.codebook.start == CodebookStart::kmeans);
  CHECK(own.quantizer.codebook.accumulators == Accumulators::warm);
  CHECK(own.quantizer.codebook.dead_code_fraction == 0.25);
  CHECK(model_options(parsed("--estimator rotation_unscaled")).quantizer.estimator.estimator ==
        Estimator::rotation_unscaled);
  CHECK(model_options(parsed("--owner both")).quantizer.codebook.learning ==
        CodebookLearning::both);
}

TEST_CASE("options: of the quantizer they reach the model, and the config where they are unusual") {
  const auto plain = config(parsed(""));
  for (const char* key : {"quantizer", "groups", "cosine", "warmup", "validation_images"})
    CHECK_FALSE(plain.contains(key));
  const RunOptions all = parsed(
      "--layers 3 --shared-codebook --layer-dropout --codebook-dim 5 --cosine --soft-em 0.5 "
      "--diversity 0.25 --warmup 7 --lr-schedule cosine --epochs 9");
  const QuantizerOptions q = model_options(all).quantizer;
  CHECK(q.kind == QuantizerKind::vq);
  CHECK(q.layers == 3);
  CHECK(q.groups == 1);
  CHECK((q.shared && q.layer_dropout && q.codebook.cosine));
  CHECK(q.codebook_dim == 5);
  CHECK(q.codebook.soft_em == 0.5);
  CHECK(q.codebook.diversity == 0.25);
  const auto c = config(all);
  CHECK(c["layers"] == 3);
  CHECK(c["soft_em"] == 0.5);
  CHECK(c["warmup"] == 7);
  CHECK(c["lr_schedule_epochs"] == 9);  // or a shorter run would count as this one's beginning
  const QuantizerOptions gumbel =
      model_options(parsed("--estimator gumbel --temperature 0.5 --orthogonality 2")).quantizer;
  CHECK(gumbel.estimator.temperature == 0.5);
  CHECK(gumbel.codebook.learning == CodebookLearning::gradient);  // required by gumbel
  CHECK(gumbel.codebook.orthogonality == 2);
  CHECK(model_options(parsed("--estimator gumbel")).quantizer.estimator.temperature == 0.01);
}

TEST_CASE("options: a run with anything unusual is not compared with the paper") {
  for (const std::string flag :
       {"--quantizer simvq", "--quantizer fsq", "--groups 2", "--layers 2", "--codebook-dim 8",
        "--cosine", "--soft-em 0.5", "--diversity 0.5", "--warmup 5", "--lr-schedule cosine",
        "--validation-images 5", "--estimator ste --owner gradient --temperature 0.5",
        "--owner gradient --orthogonality 1", "--layers 2 --shared-codebook",
        "--layers 2 --layer-dropout", "--quantizer lfq --entropy-weight 0.5"}) {
    CAPTURE(flag);
    const RunOptions o = parsed(flag);
    const auto c = config(o);
    const size_t plain = differences_from_paper(config(parsed("")), o.codes, 50).size();
    size_t unusual = 0;
    for (const RunOption& option : run_option_table())
      unusual += option.in_config == InConfig::where_unusual && c.contains(option.key());
    CHECK(unusual >= 1);
    CHECK(differences_from_paper(c, o.codes, 50).size() >= plain + unusual - (o.codes != 1024));
  }
}

TEST_CASE("options: validation images are the last of the training images") {
  const DatasetPair all =
      load_data(parsed("--data synthetic --train-images 30 --test-images 4 "
                       "--batch-size 8"));
  const DatasetPair held =
      load_data(parsed("--data synthetic --train-images 20 --test-images 10 "
                       "--validation-images 10 --batch-size 8"));
  CHECK(held.train.size() == 20);
  CHECK(held.test.size() == 10);
  CHECK(held.test.labels ==
        std::vector<int32_t>(all.train.labels.end() - 10, all.train.labels.end()));
  CHECK((bits_of(held.test.images) == bits_of(all.train.images.rows(20, 30))));
}

TEST_CASE("options: a grid has its own number of codes, and nothing that a codebook has") {
  const RunOptions fsq = parsed("--quantizer fsq --levels 3,4,2");
  CHECK(fsq.codes == 24);
  CHECK(model_options(fsq).quantizer.levels == std::vector<int64_t>{3, 4, 2});
  CHECK(*fsq.estimator == Estimator::ste);
  CHECK(*parsed("--quantizer fsq --estimator rotation").estimator == Estimator::rotation);
  CHECK(*fsq.dead_codes == 0);
  CHECK(config(fsq)["levels"] == "3,4,2");
  for (const char* levels :
       {"3,", "3,x", "1,4", "3,-2", "300,300", "1e2", "99999999999999999999"}) {
    CAPTURE(levels);
    CHECK(contains(usage_error_of(std::string("--quantizer fsq --levels ") + levels), "--levels"));
  }
}

TEST_CASE("options: the model is in the config where it is not the paper's") {
  const RunOptions usual = parsed("--latent 8 --codes 4"),
                   two = parsed("--latent 8 --codes 4 --model vqvae2");
  CHECK_FALSE(config(usual).contains("model"));
  CHECK(config(two)["model"] == "vqvae2");
  CHECK(run_name(config(usual)) != run_name(config(two)));
  CHECK(run_name(config(usual)) == run_name(config(parsed("--latent 8 --codes 4 --model vqvae"))));
  CHECK(make_model(usual, 3, {}, Rng(1))->levels().size() == 1);
  CHECK(make_model(two, 3, {}, Rng(1))->levels().size() == 2);
  CHECK(contains(usage_error_of("--model wrong"), "--model"));
  bool named = false;
  for (const std::string& difference : differences_from_paper(config(two), 4, 50))
    named |= difference == "model vqvae2";
  CHECK(named);
}

TEST_CASE("options: what contradicts itself is wrong usage") {
  CHECK(contains(usage_error_of("--batch-size 64 --train-images 63"), "--batch-size"));
  CHECK(usage_error_of("--batch-size 64 --train-images 64") == "");
  CHECK(contains(usage_error_of("--data synthetic --data-dir x"), "--data-dir"));
  RunOptions options;
  options.data.kind = DataKind::synthetic;
  options.train_images = 20;
  options.test_images = 10;
  options.batch_size = 21;
  const DatasetPair images = load_data(options);
  const std::string error = error_of([&] { fit_to_images(options, images); });
  CHECK(contains(error, "--batch-size 21"));
  CHECK(contains(error, "20 training images"));
  options.batch_size = RunOptions().batch_size;  // the default becomes the whole set
  fit_to_images(options, images);
  CHECK(options.batch_size == 20);
}

TEST_CASE("options: data are cut to the first images") {
  RunOptions options;
  options.data.kind = DataKind::synthetic;
  options.train_images = 20;
  options.test_images = 10;
  options.batch_size = 20;
  const DatasetPair images = load_data(options);
  CHECK(images.train.size() == 20);
  CHECK(images.test.size() == 10);
  CHECK((bits_of(images.train.images) == bits_of(synthetic_images(20, 10).train.images)));
}

TEST_CASE("options: threads are set, and recorded as what they are") {
  const ThreadCount restored(omp_get_max_threads());
  RunOptions options;
  options.threads = 3;
  resolve(options);
  CHECK(omp_get_max_threads() == 3);
  RunOptions open;
  resolve(open);
  CHECK(open.threads == 3);
}

}  // namespace versor::testing
