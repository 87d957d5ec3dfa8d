"""What tests stop fits with."""

from isthmus import Checkpoint


class StopAt(Checkpoint):
    """A checkpoint that is told to stop after so many steps."""

    def __init__(self, path, n_steps, every=1e6):
        super().__init__(path, every=every)
        self.n_left = n_steps

    def stopped(self):
        self.n_left -= 1
        if self.n_left == 0:
            self.stop()
        return super().stopped()
