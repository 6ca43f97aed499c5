// The errata page: see errata.h. The arithmetic is computed here, not copied.
#include "experiments/study/errata.h"

#include <fmt/format.h>

#include "experiments/study/paper.h"

namespace versor {

Section errata() {
  Section section;
  section.name = "errata";
  section.title = "Errata of the paper";
  Table table{.file = "errata", .title = "What the paper says, and what we did"};
  table.columns = {"where", "the paper", "what is wrong with it", "here"};
  const auto row = [&](const char* where, std::string paper, std::string wrong, std::string here) {
    table.rows.push_back({where, std::move(paper), std::move(wrong), std::move(here)});
  };
  row("eq. 1, 6, 7", "loss = log p(x|z) + ...",
      "The sign: minimising it would make the reconstruction unlikely. Eq. 6 has no condition at "
      "all.",
      "loss = mse(reconstruction, x) + ..., which is -log p of a Gaussian up to constants");
  row("eq. 5, 11", "e_i = m_i / N_i", "No smoothing term: a code that nothing uses divides 0 by 0.",
      "Laplace smoothing with 1e-5, as the published runs had");
  row("section 2.1, 2.4", "\"rotation\" from a Householder matrix",
      "A Householder matrix is a reflection: its determinant is -1.",
      "estimator `rotation` is a rotation, `reflection` the Householder matrix, `published` what "
      "the "
      "published runs computed");
  row("section 2.4", "\"adaptive scaling ... based on encoder-codebook distances\"",
      "No formula. The published runs do not rescale at all: they pass on |e| q/|q|.",
      "lambda = |q|/|e|, our reading: what is passed on is q itself");
  row("eq. 8", "z_e + (z_q - z_e).detach()",
      "This is the straight-through gradient whatever was rotated before: the rotation changes the "
      "value and never the gradient.",
      "estimators with their own gradients; the table of estimators shows the angle to this one");
  row("section 2.1", "\"Convolutional and Pooling Layers\"",
      "The published model has no pooling layer.",
      "strided convolutions, as in the published runs");
  for (const PaperRow& r : table2_rows())
    if (const std::string why = contradiction(r); !why.empty())
      row("table 2",
          fmt::format("{}: total {:.4f}, reconstruction {:.4f}, codebook {:.4f}, perplexity {:g}",
                      r.label, r.values[0], r.values[1], r.values[2], r.values[3]),
          "Contradicts itself: " + why + ".", "no verdict: nothing can agree with it");
  row("table 2", "Small, Large and X-Large",
      "One and the same row three times, for codebooks of 256, 1024 and 2048 codes.", "three rows");
  row("table 2", "Medium: 0.0475, 0.0092, 0.0306, 431.25",
      "These are the figures of the authors' run with K = 1024, not 512.",
      "shown beside our runs with K = 1024");
  row("table 2, 3", "one run for each row",
      "Beta 0.25 with K = 1024 and 50 epochs was run three times by the authors: total 0.0475, "
      "0.0516, "
      "0.0482 and perplexity 431, 281, 297. One run says little about a difference of that size.",
      "mean and standard deviation over seeds, and verdicts that say how much they could have "
      "found");
  row("figures 1-8", "\"Epoch e\"",
      "Counted from 0: the state after e + 1 epochs. The pictures are training images, others at "
      "each "
      "epoch.",
      "the same test images after e + 1 epochs; the untrained codebook as a panel of its own");
  row("section 3", "\"reduced reconstruction loss\", \"superior efficiency\"",
      "No baseline is shown: the estimator is compared with no other.", "the table of estimators");
  row("evaluation", "test figures",
      "In the published runs the codebook's moving averages go on during evaluation, so that test "
      "images enter the codebook.",
      "evaluation changes nothing, unless the preset `published` asks for it");
  section.tables.push_back(table);
  section.notes.push_back(
      "Six training curves of the authors were at hand, epoch by epoch; what is "
      "said of \"the published runs\" is read off these and the published code.");
  return section;
}

}  // namespace versor
