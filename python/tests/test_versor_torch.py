"""versor_torch.py: the golden files, every quantizer through a file, and broken files."""
import json
import os
import pathlib
import tempfile
import unittest

try:
    import torch

    import versor_torch
except ImportError:
    torch = None

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
QUANTIZERS = [{}, {"cosine": True}, {"codebook_dim": 3}, {"quantizer": "simvq"},
              {"quantizer": "fsq", "levels": "4,3"}, {"quantizer": "fsq", "levels": "5"},
              {"quantizer": "lfq"}, {"quantizer": "bsq"}, {"rotation_origin": "mean"}]
STRUCTURES = [{}, {"groups": 2}, {"groups": 2, "shared_codebook": True}, {"layers": 2},
              {"layers": 2, "shared_codebook": True}, {"groups": 2, "layers": 2},
              {"model": "vqvae2"}, {"downsampling": 8}]


def far(a, b):
    """||a - b|| / ||b||."""
    a, b = a.detach(), b.detach()
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


@unittest.skipIf(torch is None, "no PyTorch")
class VersorTorch(unittest.TestCase):
    def test_golden_steps(self):
        """The forward and backward pass of the first step, as bin/one_step has them to compute."""
        ours = {"z_e": lambda out: out.levels[0][0],
                "reconstruction": lambda out: out.reconstruction}
        cases = [case for case in json.loads((GOLDEN / "cases.json").read_text())["cases"]
                 if case["options"]["steps"] == 1]
        self.assertGreater(len(cases), 5)
        for case in cases:
            weights, batch, truth = (versor_torch.read_safetensors(GOLDEN / case[key])[0]
                                     for key in ("weights", "batch", "output"))
            codes, latent = weights["codebook.weight"].shape
            options = case["options"]
            model = versor_torch.build(codes=codes, latent=latent, estimator=options["estimator"],
                                       owner=options["owner"])
            names = {versor_torch.file_name(name): name for name in model.state_dict()}
            model.load_state_dict({names[name]: t for name, t in weights.items()})
            images = batch["images"]
            out = model(images)
            with self.subTest(case["name"]):
                for name, of in ours.items():
                    self.assertLess(far(of(out), truth[name]), 1e-4, name)
                self.assertTrue(torch.equal(out.symbols()[0][:, 0], truth["indices"].long()))
                losses = out.losses(images, options["beta"])
                for name, loss in zip(("loss", "reconstruction_loss", "codebook_loss",
                                       "commitment_loss"), losses):
                    self.assertLess(far(loss, truth[name]), 1e-4, name)
                losses[0].backward()
                for name, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        gradient = truth["grad." + versor_torch.file_name(name)]
                        self.assertLess(far(parameter.grad, gradient), 1e-4, name)

    def test_grids(self):
        """What another implementation makes of the same vectors."""
        golden, _ = versor_torch.read_safetensors(GOLDEN / "quantizers.safetensors")
        for levels in ("8_5_5_5", "4_4_4_4_4"):
            counts = [int(count) for count in levels.split("_")]
            fsq = versor_torch.FiniteScalarQuantizer(counts, "ste", "0")
            z = golden[f"fsq.{levels}.z"].requires_grad_()
            out = fsq(z)
            self.assertLess(far(out.value, golden[f"fsq.{levels}.value"]), 1e-6)
            self.assertTrue(torch.equal(out.index[0], golden[f"fsq.{levels}.indices"].long()))
            self.assertLess(far(fsq.grid, golden[f"fsq.{levels}.codebook"]), 1e-6)
            (out.value * golden[f"fsq.{levels}.g"]).sum().backward()
            self.assertLess(far(z.grad, golden[f"fsq.{levels}.grad_z"]), 1e-5)
        for name, spherical in (("default", False), ("spherical", True)):
            signs = versor_torch.SignQuantizer(5, spherical, "ste", "0")
            out = signs(golden["lfq.x"])
            self.assertLess(far(out.value, golden[f"lfq.{name}.value"]), 1e-6)
            self.assertTrue(torch.equal(out.index[0], golden[f"lfq.{name}.indices"].long()))

    def test_through_a_file(self):
        torch.manual_seed(1)
        images = torch.rand(2, 1, 16, 32) * 2 - 1
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            path = os.path.join(folder, "model.safetensors")
            for quantizer in QUANTIZERS:
                for structure in STRUCTURES:
                    grid = quantizer.get("quantizer") in ("fsq", "lfq", "bsq")
                    if "layers" in structure and (grid or "rotation_origin" in quantizer):
                        continue  # bin/train refuses them
                    model = versor_torch.build(latent=8, codes=8, image_channels=1, **quantizer,
                                               **structure).eval()
                    versor_torch.save(model, path)
                    again = versor_torch.load(path)
                    out, copy = model(images), again(images)
                    with self.subTest(f"{quantizer} {structure}"):
                        self.assertTrue(torch.equal(out.reconstruction, copy.reconstruction))
                        symbols = again.encode(images)
                        self.assertEqual(sum(s.shape[1] for s in symbols),
                                         sum(len(q.index) for _, q in out.levels))
                        self.assertLess(far(again.decode(symbols), out.reconstruction), 1e-6)

    def test_bf16_rounds(self):
        images = torch.rand(2, 3, 8, 8) * 2 - 1
        torch.manual_seed(2)
        exact = versor_torch.build(latent=8, codes=8)
        rounded = versor_torch.build(latent=8, codes=8, precision="bf16")
        rounded.load_state_dict(exact.state_dict())
        latents = rounded(images).levels[0][0]
        self.assertTrue(torch.equal(latents, latents.bfloat16().float()))
        self.assertGreater(far(latents, exact(images).levels[0][0]), 1e-4)
        self.assertLess(far(latents, exact(images).levels[0][0]), 2e-2)

    def test_broken_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "model.safetensors")
            model = versor_torch.build(latent=8, codes=8)
            versor_torch.save(model, path)
            whole = path.read_bytes()

            def refused(content, what):
                path.write_bytes(content)
                with self.assertRaisesRegex(ValueError, what):
                    versor_torch.load(path)

            refused(whole[:-4], "damaged")
            refused(whole[:100], "damaged")
            refused(b"", "damaged")
            tensors, metadata = versor_torch.read_safetensors(GOLDEN / "weights-small.safetensors")
            versor_torch.write_safetensors(path, tensors, {})
            refused(path.read_bytes(), "does not say what model")
            ours = {**model.metadata, "format": "versor-model", "format_version": "1"}
            versor_torch.write_safetensors(path, tensors, {**ours, "format_version": "2"})
            refused(path.read_bytes(), "version 2")
            versor_torch.write_safetensors(path, tensors, {**ours, "layers": "2"})
            refused(path.read_bytes(), "missing .*layers.0.codebook.weight")


if __name__ == "__main__":
    unittest.main()
