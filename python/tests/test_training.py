"""Quantizers, models and whole training runs."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

import versor
from versor import Tensor, Variable, nn, vq

SMALL = dict(data="synthetic", train_images=64, test_images=32, batch_size=16, latent=16, codes=8,
             epochs=2, threads=1, precision="fp32")


class Quantizers(unittest.TestCase):
    def test_nearest_code(self):
        codebook = Tensor([[0.0, 0], [1, 1], [5, 5]])
        self.assertEqual(vq.nearest_code(Tensor([[0.9, 0.8], [9, 9], [-1, 0]]), codebook).tolist(),
                         [1, 2, 0])
        with self.assertRaises(versor.Error):
            vq.nearest_code(Tensor([[1.0, 2, 3]]), codebook)

    def test_family(self):
        for options in (
            dict(estimator="ste"),
            dict(estimator="rotation", owner="gradient"),
            dict(estimator="diveq"),
            dict(quantizer="fsq", levels=[5, 5], codes=25),
            dict(quantizer="bsq", codes=16),
            dict(quantizer="simvq"),
            dict(layers=2, estimator="ste"),
            dict(groups=2),
            dict(cosine=True, codebook_dim=4),
        ):
            with self.subTest(options):
                q = vq.Quantizer(**{"latent": 8, "codes": 16, **options})
                e = Variable(versor.normal([32, 8]), requires_grad=True)
                out = q(e, training=True)
                versor.sum(versor.square(out.value)).backward()
                q.update([out])
                self.assertEqual(out.value.shape, (32, 8))
                self.assertEqual(out.index.shape, (q.vocabulary.symbols, 32))
                self.assertEqual(sum(map(sum, out.counts.tolist())), 32 * q.vocabulary.symbols)
                self.assertIsNotNone(e.grad)
                with versor.no_grad():
                    plain = q(e)
                self.assertEqual(q.decode(plain.index).tolist(), plain.value.tolist())

    def test_wrong_options(self):
        for wrong, names in (
            (dict(nothing=1), "nothing"),
            (dict(estimator="magic"), "estimator"),
            (dict(beta=-1), "beta"),
            (dict(quantizer="fsq", decay=0.9), "decay"),
            (dict(help=1), "help"),
        ):
            with self.assertRaises(versor.Error) as raised:
                vq.Quantizer(**wrong)
            self.assertIn(names, str(raised.exception))
            self.assertNotIn("\n", str(raised.exception))

    def test_models(self):
        images = versor.uniform([4, 32, 32, 3], -1, 1)
        for model, levels in (
            (vq.VqVae(latent=16, codes=8, precision="fp32"), 1),
            (vq.VqVae2(latent=16, codes=8, precision="fp32"), 2),
        ):
            model.start_codebooks([images])
            adam = nn.Adam(model.parameters(), lr=1e-3)
            losses = []
            for _ in range(5):
                adam.zero_grad()
                out = model(images)
                loss = vq.loss(out, images, beta=0.25)
                loss.total.backward()
                model.update([out])
                adam.step()
                losses.append(loss.reconstruction.item())
            self.assertLess(losses[-1], losses[0])
            model.training = False
            with versor.no_grad():
                out = model(images)
            self.assertEqual(len(out.symbols), levels)
            self.assertEqual(model.decode_symbols(out.symbols, [4, 32, 32, 3]).tolist(),
                             out.reconstruction.tolist())


    def test_channels(self):
        for make in (vq.VqVae, vq.VqVae2):
            for options, channels in ((dict(), 3), (dict(channels=1), 1), (dict(channels=3), 3)):
                model = make(latent=16, codes=8, precision="fp32", **options)
                images = versor.uniform([2, 16, 16, channels], -1, 1)
                self.assertEqual(model(images).reconstruction.shape, (2, 16, 16, channels))


class Training(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_run(self):
        trainer = versor.Trainer(folder=self.folder + "/run", **SMALL)
        self.assertTrue(trainer.run())
        metrics = trainer.metrics()
        self.assertEqual(metrics["epoch"], [1, 2])
        self.assertLess(metrics["train_recon_loss"][1], metrics["train_recon_loss"][0])
        model = vq.VqVae(**{k: SMALL[k] for k in ("latent", "codes", "precision")})
        model.load(trainer.folder + "/model.safetensors")
        del trainer
        self.assertFalse(versor.Trainer(folder=self.folder + "/run", **SMALL).run())

    def test_own_images(self):
        train = Tensor(bytes(i * 7 % 256 for i in range(64 * 16 * 16 * 3)))
        images = train.reshape([64, 16, 16, 3]), train.reshape([64, 16, 16, 3])[:32]
        options = {k: SMALL[k] for k in SMALL if k not in ("data", "train_images", "test_images")}
        trainer = versor.Trainer(images=images, folder=self.folder + "/run", **options)
        self.assertTrue(trainer.run())
        with open(trainer.folder + "/config.json") as f:
            config = json.load(f)
        self.assertEqual(config["options"]["data"], "own images")
        self.assertNotIn("source", config)
        model = vq.load(trainer.folder)
        self.assertIsInstance(model, vq.VqVae)
        self.assertFalse(model.training)
        self.assertEqual(model.latent, 16)
        for wrong, names in (
            (dict(images=images, data="synthetic"), "data"),
            (dict(images=(versor.zeros([2]),) * 2), "u8"),
            (dict(images=(versor.zeros([32, 16, 16, 2], "u8"),) * 2), "2 channels"),
            (dict(images=(images[0], versor.zeros([32, 16, 16, 4], "u8"))), "4 channels"),
        ):
            with self.assertRaises(versor.Error) as raised:
                versor.Trainer(folder=self.folder + "/other", **options, **wrong)
            self.assertIn(names, str(raised.exception))
        with self.assertRaises(versor.Error):
            vq.load(self.folder)

    def test_a_tf32_run_is_used_on_the_cpu(self):
        trainer = versor.Trainer(folder=self.folder + "/run", **SMALL)
        trainer.run()
        weights, config = (trainer.folder + name for name in ("/model.safetensors", "/config.json"))
        # as a GPU would have written it
        with open(config) as f:
            of_folder = f.read()
        with open(config, "w") as f:
            f.write(of_folder.replace('"fp32"', '"tf32"'))
        with open(weights, "rb") as f:
            header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        metadata = {key: value.replace("fp32", "tf32")
                    for key, value in header["__metadata__"].items() if key != "versor_fnv1a64"}
        self.assertEqual(metadata["precision"], "tf32")
        nn.save(weights, nn.load(weights), metadata)
        for path in (trainer.folder, weights):
            self.assertEqual(vq.load(path).latent, 16)

    def test_other_threads_go_on(self):
        trainer = versor.Trainer(folder=self.folder + "/run", **SMALL)
        count = 0
        worker = threading.Thread(target=trainer.run)
        worker.start()
        while worker.is_alive():
            count += 1
        self.assertGreater(count, 1000)

    def test_errors(self):
        with self.assertRaises(versor.Error) as raised:
            versor.Trainer(folder=self.folder, data_dir=self.folder + "/none")
        self.assertIn("none", str(raised.exception))
        first = versor.Trainer(folder=self.folder + "/run", **SMALL)
        with self.assertRaises(versor.Error):  # in use
            versor.Trainer(folder=self.folder + "/run", **SMALL)
        del first

    def test_interrupt(self):
        program = f"""
import signal, versor
signal.signal(signal.SIGINT, signal.default_int_handler)  # it may have been ignored from the start
before = signal.getsignal(signal.SIGINT)
trainer = versor.Trainer(folder={self.folder + "/run"!r}, quiet=False,
                         **{dict(SMALL, epochs=100000)!r})
print("ready", flush=True)
try:
    trainer.run()
except KeyboardInterrupt as e:
    print("saved" if "saved in" in str(e) else "lost", signal.getsignal(signal.SIGINT) is before)
try:
    import os, time
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("again")
"""
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "ready\n")
        for line in child.stderr:
            if line.startswith("epoch"):
                break
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=120)
        self.assertEqual(out, "saved True\nagain\n")
        self.assertTrue(os.path.exists(self.folder + "/run/trainer.safetensors"))


if __name__ == "__main__":
    unittest.main()
