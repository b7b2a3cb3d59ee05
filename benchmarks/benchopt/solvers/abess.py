"""abess: splicing at a given support size."""

# The framework wants plain class attributes and sets others itself.
# ruff: noqa: RUF012
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false

from abess import LinearRegression, LogisticRegression
from benchopt import BaseSolver


class Solver(BaseSolver):
    """full: splice with all columns and up to k at a time, in place of the package's screening.

    alpha multiplies |w|^2 beside the sum of the logistic losses; without it separable data run away.
    """

    name = "abess"
    parameters = {"full": [False, True]}
    requirements = ["pip::abess"]
    sampling_strategy = "run_once"

    def set_objective(self, X, y, loss, k, ridge):
        self.X, self.y = X, y if loss == "squares" else (y > 0).astype(float)
        more = {"important_search": 0, "exchange_num": k} if self.full else {}
        kind, alpha = (LinearRegression, 0.0) if loss == "squares" else (LogisticRegression, ridge * len(y) / 2)
        self.model = kind(support_size=k, alpha=alpha, fit_intercept=False, thread=1, **more)

    def run(self, _):
        self.model.fit(self.X, self.y)

    def get_result(self):
        return {"beta": self.model.coef_.ravel()}
