"""The Python of README.md does what it says: it is run as it stands, in an empty folder."""
import os
import re
import tempfile
import unittest

import versor

try:
    import numpy
except ImportError:
    numpy = None


class Readme(unittest.TestCase):
    @unittest.skipIf(numpy is None, "no NumPy")
    def test_blocks(self):
        folder = os.path.join(os.path.dirname(__file__), "..")
        with open(os.path.join(folder, "README.md"), encoding="utf-8") as file:
            blocks = re.findall(r"```python\n(.*?)```", file.read(), re.S)
        self.assertTrue(blocks)
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as here:
            os.chdir(here)
            try:
                versor.Trainer(data="synthetic", train_images=64, test_images=32, batch_size=16,
                               latent=16, codes=8, epochs=1, folder="results/runs/NAME").run()
                names = {"array": numpy.zeros((2, 3), numpy.float32)}
                for block in blocks:
                    exec(block, names)
                self.assertEqual(names["array"].tolist(), [[0, 0, 0], [0, 0, 0]])
                self.assertEqual(len(names["losses"]), 2)
            finally:
                os.chdir(before)


if __name__ == "__main__":
    unittest.main()
