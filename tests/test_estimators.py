"""The scikit-learn skins: its own checks, agreement with `solve`, weights as repetitions, data frames, grids."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import sparse

import sparsopt
from sparsopt.errors import InvalidInput
from sparsopt.problems import LeastSquares, Logistic, Softmax

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from sparsopt.estimators import (
    SparseClassifier,
    SparseClassifierCV,
    SparseRegressor,
    SparseRegressorCV,
    SparseSelector,
)

TRUE = [2, 5, 11]


def data(seed=0, n=150, p=20, noise=0.3):
    rng = np.random.default_rng([51, seed])
    X = rng.standard_normal((n, p)) + 0.4 * rng.standard_normal((n, 1))
    signal = X[:, TRUE] @ np.array([2.0, -1.5, 1.0])
    labels = np.where(signal + rng.logistic(size=n) / 3 > 0, "yes", "no")
    return X, signal + noise * rng.standard_normal(n) + 5.0, labels


def classes(seed=0, n=240):
    """Three classes told apart by features 1 and 4."""
    rng = np.random.default_rng([52, seed])
    X = rng.standard_normal((n, 8))
    scores = np.stack([2 * X[:, 1], -2 * X[:, 1] + 2 * X[:, 4], -2 * X[:, 4]], axis=1)
    return X, np.array(["a", "b", "c"])[(scores + rng.gumbel(size=(n, 3)) / 2).argmax(axis=1)]


# ---- scikit-learn's own checks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        SparseRegressor(),
        SparseClassifier(2, method="omp"),
        SparseSelector(),
        SparseRegressorCV(range(3), cv=3),
        SparseClassifierCV([2], cv=2, method="omp"),
    ],
    ids=lambda estimator: repr(estimator)[:60],
)
def test_checks_of_scikit_learn(estimator):
    """None fails and none is expected to; what is skipped needs a setting of the environment, or pandas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about the checks it skips
        found = check_estimator(estimator, on_skip=None, on_fail=None)
    status = [entry["status"] for entry in found]
    failed = [(entry["check_name"], entry["exception"]) for entry in found if entry["status"] in ("failed", "xfail")]
    assert not failed and status.count("passed") >= 45 and status.count("skipped") <= 6


def test_sparsopt_does_not_import_it():
    code = "import sparsopt, sys; n = 'sklearn'; assert n not in sys.modules; sparsopt.SparseRegressor; sys.modules[n]"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---- agreement -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
def test_a_given_k_is_solve(intercept):
    X, y, labels = data()
    ours = SparseRegressor(3, ridge=0.1, fit_intercept=intercept).fit(X, y)
    problem = LeastSquares(X, y, 0.1, intercept)
    result = sparsopt.solve(problem, 3)
    np.testing.assert_allclose(ours.coef_, result.x, rtol=1e-12)
    assert ours.intercept_ == pytest.approx(problem.intercept(result.x)) and ours.value_ == pytest.approx(result.value)
    np.testing.assert_allclose(ours.predict(X), X @ result.x + ours.intercept_)
    model = SparseClassifier(3, ridge=0.1, fit_intercept=intercept).fit(X, labels)
    result = sparsopt.solve(Logistic(X, labels == "yes", 0.1, intercept), 3)
    np.testing.assert_allclose(model.coef_, result.x[None], rtol=1e-12)
    assert model.k_ == 3 and np.flatnonzero(model.support_).tolist() == TRUE


def test_all_features_are_the_dense_models():
    X, y, labels = data()
    ours, theirs = SparseRegressor(99).fit(X, y), LinearRegression().fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8)
    ours = SparseClassifier(99, ridge=0.01).fit(X, labels)
    theirs = LogisticRegression(C=1 / (0.01 * 150), tol=1e-10, max_iter=10_000).fit(X, labels)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
    assert (ours.predict(X) == theirs.predict(X)).all()


def test_three_classes_share_their_features():
    X, y = classes()
    model = SparseClassifier(2, ridge=0.01).fit(X, y)
    assert np.flatnonzero(model.support_).tolist() == [1, 4]
    assert model.coef_.shape == (3, 8) and model.intercept_.shape == (3,) and model.score(X, y) > 0.8
    chances = model.predict_proba(X)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0)
    assert (model.classes_[chances.argmax(axis=1)] == model.predict(X)).all()
    np.testing.assert_allclose(np.log(chances), model.predict_log_proba(X), atol=1e-12)
    x = sparsopt.solve(Softmax(X, y, 0.01), 2).x
    np.testing.assert_allclose(model.coef_, x.reshape(8, 3).T)
    loss = -model.predict_log_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)].mean()
    assert loss + 0.005 * (x @ x) == pytest.approx(model.value_, rel=1e-9)


def test_several_outputs_share_their_features():
    X, y, _ = data()
    Y = np.stack([y, X[:, 5] - 2.0], axis=1)
    model = SparseRegressor(3).fit(X, Y)
    assert model.coef_.shape == (2, 20) and model.predict(X).shape == Y.shape
    assert np.flatnonzero(model.support_).tolist() == TRUE and model.score(X, Y) > 0.95
    assert SparseRegressor(3).fit(X, y[:, None]).predict(X).shape == (150, 1)
    assert SparseRegressor().fit(X, Y).k_ == 3


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.csr_array])
def test_sparse_and_dense_agree(make):
    X, y, labels = data()
    X = X * (abs(X) > 0.8)
    for model, target in ((SparseRegressor(4), y), (SparseClassifier(4), labels)):
        dense, thin = model.fit(X, target).coef_, model.fit(make(X), target).coef_
        np.testing.assert_allclose(thin, dense, rtol=1e-6, atol=1e-9)
        guesses = model.predict(make(X)), model.predict(make(X).toarray())
        assert np.mean(guesses[0] == guesses[1]) == 1 if target is labels else np.allclose(*guesses)


@pytest.mark.parametrize("model", [SparseRegressor(), SparseRegressor(2), SparseClassifier(), SparseClassifier(2)])
def test_weights_are_repetitions(model):
    X, y, labels = data(1, n=90, p=12)
    target = y if isinstance(model, SparseRegressor) else labels
    weight = np.random.default_rng(0).integers(0, 4, 90)
    weighted = model.fit(X, target, sample_weight=weight)
    coef, k = weighted.coef_, weighted.k_
    repeated = model.fit(np.repeat(X, weight, axis=0), np.repeat(target, weight))
    assert k == repeated.k_
    np.testing.assert_allclose(coef, repeated.coef_, rtol=1e-6, atol=1e-9)


# ---- choosing k ----------------------------------------------------------------------------------------------------


def test_the_criterion_chooses():
    X, y, labels = data()
    for criterion in ("bic", "ebic", "gic"):
        model = SparseRegressor(criterion=criterion).fit(X, y)
        assert model.k_ >= 3 and set(TRUE) <= set(np.flatnonzero(model.support_).tolist())
    assert SparseRegressor().fit(X, y).k_ == 3
    assert np.flatnonzero(SparseClassifier().fit(X, labels).support_).tolist() == TRUE
    assert SparseRegressor().fit(X, np.random.default_rng(0).standard_normal(150)).k_ == 0
    assert SparseClassifier().fit(*classes()).k_ == 2


def test_cross_validation_by_hand():
    X, y, _ = data(2)
    folds = KFold(4, shuffle=True, random_state=0)
    model = SparseRegressorCV([1, 3, 6], cv=folds).fit(X, y)
    assert model.losses_.shape == (4, 3) and model.ks_.tolist() == [1, 3, 6]
    first, test = next(folds.split(X))
    one = SparseRegressor(1).fit(X[first], y[first])
    assert model.losses_[0, 0] == pytest.approx(np.mean((y[test] - one.predict(X[test])) ** 2), rel=1e-9)
    assert model.k_ == [1, 3, 6][model.losses_.mean(axis=0).argmin()] >= 3
    np.testing.assert_allclose(model.coef_, SparseRegressor(model.k_).fit(X, y).coef_)


def test_sizes_that_are_none_are_refused_and_those_above_p_are_p():
    X, y, labels = data()
    for ks in ([1.5], ["2"], [-1], [], 3):
        with pytest.raises(InvalidInput, match=r"ks = .*; one or more sizes k >= 0 are needed"):
            SparseRegressorCV(ks).fit(X, y)
    with pytest.raises(InvalidInput, match=r"k = 1\.5 is no integer"):
        SparseRegressor(1.5).fit(X, y)  # type: ignore[arg-type]
    assert SparseRegressor(100).fit(X, y).k_ == SparseClassifier(np.int64(20)).fit(X, labels).k_ == 20  # type: ignore[arg-type]
    many = SparseRegressorCV([20, 30, 40], cv=2).fit(X, y)
    assert (many.k_, many.ks_.tolist(), many.losses_.shape) == (20, [20], (2, 1))


def test_cross_validated_classes():
    X, y = classes(1)
    model = SparseClassifierCV(range(1, 5), cv=3).fit(X, y)
    assert model.k_ >= 2 and {1, 4} <= set(np.flatnonzero(model.support_).tolist())
    assert (np.log(3) > model.losses_.mean(axis=0)).all()
    with pytest.raises(InvalidInput, match="weighted samples on both sides"):
        SparseRegressorCV([1], cv=[([0, 1], [2])]).fit(X, X[:, 1], sample_weight=np.arange(240) > 2)


def test_grids_over_k_and_method():
    X, y, _ = data()
    grid = GridSearchCV(SparseRegressor(), {"k": [1, 3, 8], "method": ["omp", "iht", "auto"]}, cv=3).fit(X, y)
    assert grid.best_params_["k"] >= 3 and grid.best_score_ > 0.9
    named = GridSearchCV(SparseSelector(estimator=SparseRegressor(method="omp")), {"estimator__ridge": [0.0]}, cv=2)
    assert named.get_params()["estimator__estimator__method"] == "omp"
    pipeline = make_pipeline(StandardScaler(), SparseSelector(3), LinearRegression())
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.9


# ---- selection, frames, errors -------------------------------------------------------------------------------------


def test_selection():
    X, y, labels = data()
    selector = SparseSelector(3).fit(X, y)
    assert np.flatnonzero(selector.get_support()).tolist() == TRUE == selector.get_support(indices=True).tolist()
    np.testing.assert_array_equal(selector.transform(X), X[:, TRUE])
    assert selector.inverse_transform(selector.transform(X)).shape == X.shape
    assert SparseSelector(2, SparseClassifier()).fit(X, labels).get_support().sum() == 2
    assert (
        SparseSelector(2, SparseClassifier()).fit(*load_iris(return_X_y=True)).get_support().tolist()[2:] == [True] * 2
    )


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    X, y, labels = data()
    frame = pandas.DataFrame(X, columns=[f"x{j}" for j in range(20)], index=range(100, 250))
    selector = SparseSelector(3).set_output(transform="pandas").fit(frame, pandas.Series(y, index=frame.index))
    out = selector.transform(frame)
    assert out.columns.tolist() == ["x2", "x5", "x11"] and out.index.equals(frame.index)
    assert selector.get_feature_names_out().tolist() == ["x2", "x5", "x11"]
    model = SparseClassifier(3).fit(frame, pandas.Series(labels, index=frame.index, dtype="category"))
    assert model.feature_names_in_[5] == "x5" and (model.predict(frame) == labels).mean() > 0.9
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"x0": "other"}))


def test_errors_say_what_would_work():
    X, y, labels = data()
    with pytest.raises(InvalidInput, match="did you mean omp"):
        SparseRegressor(2, method="opm").fit(X, y)
    with pytest.raises(InvalidInput, match="k = -1 is negative"):
        SparseRegressor(-1).fit(X, y)
    with pytest.raises(InvalidInput, match="unknown criterion 'ebc'"):
        SparseRegressor(criterion="ebc").fit(X, y)
    with pytest.raises(InvalidInput, match="one class only"):
        SparseClassifier(2).fit(X, np.repeat("a", 150))
    with pytest.raises(InvalidInput, match="every sample of class no has weight 0"):
        SparseClassifier(2).fit(X, labels, sample_weight=labels == "yes")
    for model in (SparseRegressor(), SparseClassifier()):
        with pytest.raises(NotFittedError):
            model.predict(X)


def test_measurements_are_no_classes():
    """A column of fractions is refused, numbers that could be labels get a warning that names the way out."""
    X, y, _ = data(n=60)
    with pytest.raises(ValueError, match="continuous"):
        SparseClassifier(1).fit(X, y)
    few = np.floor(np.arange(60) / 2)
    with pytest.warns(UserWarning, match="30 distinct numbers in 60 rows.*SparseRegressor models numbers"):
        SparseClassifier(1, method="omp", ridge=1.0).fit(X, few)
    SparseClassifier(1, method="omp", ridge=1.0).fit(X, few // 3)  # six rows a class: nothing is said


def test_certificates_of_a_model():
    """They are those of `solve` on the data that were fitted, weights and all; other data are refused."""
    X, y, labels = data()
    weight = 1.0 + np.arange(150) % 3
    model = SparseRegressor(3).fit(X, y, weight)
    proof = model.certificates(X, y, weight)
    truth = sparsopt.solve(LeastSquares(X, y, 0.0, True, weight), 3)
    assert proof.value == pytest.approx(model.value_) and proof.optimal and proof.standing is not None
    assert proof.lower_bound == pytest.approx(truth.lower_bound, rel=1e-9) and model.certificates(X, -y).gap > 1.0
    with pytest.raises(InvalidInput, match=r"the model has 20 coefficients, .* has 19: give the data of fit"):
        model.certificates(X[:, 1:], y)
    pairs = SparseClassifierCV([2], cv=2).fit(X, labels)
    assert pairs.certificates(X, labels).value == pytest.approx(pairs.value_)
    X, y = classes()
    shared = SparseClassifier(2).fit(X, y)
    proof = shared.certificates(X, y)
    assert proof.feasible and proof.k == 6 and proof.value == pytest.approx(shared.value_)
    assert 0 < proof.lower_bound <= proof.value


def test_fitted_models_are_light_and_travel():
    """No copy of the data inside: a pickle is a few vectors long."""
    X, y, labels = data(n=1500)
    for model, target in ((SparseRegressor(3), y), (SparseClassifier(3), labels)):
        packed = pickle.dumps(model.fit(X, target))
        assert len(packed) < 5000
        np.testing.assert_array_equal(pickle.loads(packed).predict(X), model.predict(X))
