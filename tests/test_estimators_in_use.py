"""The estimators in use: pipelines with mixed columns, grids, frames in and out, routed weights, groups, two jobs."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import sparse

import sparsopt
from sparsopt.errors import InvalidInput
from sparsopt.problems import Logistic

pytest.importorskip("sklearn", minversion="1.6")

from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, PolynomialFeatures, StandardScaler

from sparsopt.estimators import (
    SparseClassifier,
    SparseClassifierCV,
    SparseRegressor,
    SparseRegressorCV,
    SparseSelector,
)

EVERY = [
    SparseRegressor(2, ridge=0.1, method="omp"),
    SparseClassifier(2, method=sparsopt.catalogue.omp(2)),
    SparseSelector(2),
    SparseRegressorCV([1, 2], cv=3),
    SparseClassifierCV([1, 2], cv=StratifiedKFold(3), method="omp"),
]


def data(n=120, p=12, seed=0):
    """A target of columns 1, 4 and 7, and its sign as a label."""
    rng = np.random.default_rng([81, seed])
    X = rng.standard_normal((n, p))
    y = X[:, [1, 4, 7]] @ np.array([2.0, -1.5, 1.0]) + 0.3 * rng.standard_normal(n) + 1.0
    return X, y, np.where(y > 1, "yes", "no")


def fitted(model, sample_weight=None):
    X, y, labels = data()
    weight = {} if sample_weight is None else {"sample_weight": sample_weight}
    return model.fit(X, labels if "Classifier" in type(model).__name__ else y, **weight)


def outcome(model) -> np.ndarray:
    return model.get_support() if isinstance(model, SparseSelector) else model.coef_


@pytest.fixture
def routing() -> Iterator[None]:
    with config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("model", EVERY, ids=lambda model: type(model).__name__)
def test_copies_do_what_the_original_does(model):
    """A clone and what `repr` says are the same model unfitted; a pickle is the fitted one; a second fit the first."""
    assert repr(clone(model)) == repr(model)
    first = fitted(clone(model))
    again = outcome(first).copy()
    np.testing.assert_array_equal(outcome(pickle.loads(pickle.dumps(first))), again)
    np.testing.assert_array_equal(outcome(fitted(first)), again)
    assert not hasattr(clone(first), "k_") and not hasattr(model, "k_")
    if not isinstance(model, (SparseClassifier, SparseClassifierCV)):  # whose parameters are not all plain
        np.testing.assert_array_equal(outcome(fitted(eval(repr(model)))), again)


@pytest.mark.parametrize("model", EVERY, ids=lambda model: type(model).__name__)
def test_data_are_left_as_they_are(model):
    X, y, labels = data()
    given, target = np.asfortranarray(X), labels if "Classifier" in type(model).__name__ else y
    given.flags.writeable = target.flags.writeable = False
    clone(model).fit(given, target)
    np.testing.assert_array_equal(given, X)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_array])
def test_a_pipeline_stays_sparse(kind):
    X, y, _ = data()
    X = kind(np.where(np.abs(X) > 0.5, X, 0.0))
    model = make_pipeline(MaxAbsScaler(), SparseSelector(4), SparseRegressor(3)).fit(X, y)
    assert sparse.issparse(model[:-1].transform(X)) and model[:-1].transform(X).shape == (120, 4)
    assert model.predict(X).shape == (120,) and set(model[1].get_support(indices=True)) >= {1, 4, 7}


def mixed(columns=("numbers", "colour")):
    """A pipeline for three numbers and a colour, and rows of those; the colour adds to the target."""
    rng = np.random.default_rng(82)
    numbers, colour = rng.standard_normal((90, 3)), np.array(["red", "blue", "green"])[rng.integers(0, 3, 90)]
    y = 2 * numbers[:, 0] + 3 * (colour == "red") + 0.1 * rng.standard_normal(90)
    made = ColumnTransformer(
        [("n", StandardScaler(), columns[0]), ("c", OneHotEncoder(sparse_output=False), columns[1])]
    )
    return Pipeline([("columns", made), ("model", SparseRegressor())]), numbers, colour, y


def test_a_grid_over_k_and_method_behind_a_column_transformer():
    pipeline, numbers, colour, y = mixed(([0, 1, 2], [3]))
    X = np.column_stack([numbers.astype(object), colour])
    grid = GridSearchCV(pipeline, {"model__k": [1, 2, 3], "model__method": ["omp", "auto", "htp"]}, cv=3).fit(X, y)
    assert grid.best_params_["model__k"] >= 2 and grid.best_score_ > 0.98
    names = grid.best_estimator_[0].get_feature_names_out()[grid.best_estimator_[1].support_]
    assert {"n__x0", "c__x3_red"} <= set(names)


def test_frames_in_and_out():
    pandas = pytest.importorskip("pandas")
    pipeline, numbers, colour, y = mixed((["a", "b", "c"], ["colour"]))
    frame = pandas.DataFrame(numbers, columns=list("abc"), index=range(7, 97)).assign(colour=colour)
    pipeline.set_output(transform="pandas")
    pipeline.steps.insert(1, ("selector", SparseSelector(2).set_output(transform="pandas")))
    pipeline.fit(frame, pandas.Series(y, index=frame.index))
    chosen = pipeline[:-1].transform(frame)
    assert chosen.columns.tolist() == ["n__a", "c__colour_red"] == pipeline[:-1].get_feature_names_out().tolist()
    assert chosen.index.equals(frame.index) and pipeline["model"].feature_names_in_.tolist() == chosen.columns.tolist()
    np.testing.assert_array_equal(pipeline.predict(frame[["colour", "c", "b", "a"]]), pipeline.predict(frame))


def test_polars_frames():
    polars = pytest.importorskip("polars")
    X, y, _ = data()
    frame = polars.DataFrame(X, schema=[f"x{j}" for j in range(12)], orient="row")
    chosen = SparseSelector(3).set_output(transform="polars").fit(frame, polars.Series(y)).transform(frame)
    assert chosen.columns == ["x1", "x4", "x7"] and isinstance(chosen, polars.DataFrame)


def test_weights_are_routed_through_a_pipeline(routing):
    """Rows of weight 0 are made nonsense: only a pipeline that passes weights on finds the columns."""
    X, y, _ = data()
    weight = (np.arange(120) % 3 > 0).astype(float)
    y = np.where(weight > 0, y, 50 * X[:, 0])
    pipeline = make_pipeline(
        SparseSelector(3).set_fit_request(sample_weight=True), SparseRegressor(3).set_fit_request(sample_weight=True)
    )
    assert set(pipeline.fit(X, y, sample_weight=weight)[0].get_support(indices=True)) == {1, 4, 7}
    assert 0 in make_pipeline(SparseSelector(3), SparseRegressor(3)).fit(X, y)[0].get_support(indices=True)
    scores = cross_validate(
        SparseRegressor(3).set_fit_request(sample_weight=True).set_score_request(sample_weight=True),
        X, y, params={"sample_weight": weight}, cv=3, error_score="raise",
    )  # fmt: skip
    assert scores["test_score"].min() > 0.9


def grouped_data():
    """Ten patients: what tells them apart predicts within a patient and misleads across them."""
    rng = np.random.default_rng(83)
    groups = np.repeat(np.arange(10), 12)
    X = rng.standard_normal((120, 6)) * 0.3
    X[:, 5] += rng.standard_normal(10)[groups]
    y = X[:, 0] + rng.standard_normal(10)[groups] + 0.05 * rng.standard_normal(120)
    return X, y, groups


@pytest.mark.parametrize("make", [SparseRegressorCV, SparseClassifierCV])
def test_groups_reach_the_splitter(make):
    X, y, groups = grouped_data()
    target = y if make is SparseRegressorCV else y > np.median(y)
    model = make([1, 2, 3], cv=GroupKFold(5)).fit(X, target, groups=groups)
    same = make([1, 2, 3], cv=list(GroupKFold(5).split(X, target, groups))).fit(X, target)
    np.testing.assert_array_equal(model.losses_, same.losses_)
    with pytest.raises(ValueError, match="groups"):
        make([1], cv=GroupKFold(5)).fit(X, target)


@pytest.mark.parametrize("make", [SparseRegressorCV, SparseClassifierCV])
def test_groups_stay_together_where_cv_is_a_number(make):
    X, y, groups = grouped_data()
    target, splitter = (y, GroupKFold(4)) if make is SparseRegressorCV else (y > np.median(y), StratifiedGroupKFold(4))
    model = make([1, 2, 3], cv=4).fit(X, target, groups=groups)
    same = make([1, 2, 3], cv=splitter).fit(X, target, groups=groups)
    np.testing.assert_array_equal(model.losses_, same.losses_)
    assert not np.array_equal(model.losses_, make([1, 2, 3], cv=4).fit(X, target).losses_)


@pytest.mark.parametrize("many", [2, 3])
def test_class_weights_are_weights_of_rows(many):
    X, y, _ = data()
    labels = np.array(["a", "b", "c"])[np.digitize(y, [2.5, 4.0])] if many == 3 else y > 3
    counts = {label: np.mean(labels == label) for label in np.unique(labels)}
    weight = np.array([1 / (many * counts[label]) for label in labels])
    weighted = SparseClassifier(3).fit(X, labels, sample_weight=weight)
    for given in ("balanced", {label: 1 / (many * share) for label, share in counts.items()}):
        found = SparseClassifier(3, class_weight=given).fit(X, labels)
        np.testing.assert_allclose(found.coef_, weighted.coef_, rtol=1e-9, atol=1e-12)
    assert not np.allclose(SparseClassifier(3).fit(X, labels).coef_, weighted.coef_, rtol=1e-2)
    once = SparseClassifierCV([2, 3], cv=3, class_weight="balanced").fit(X, labels)
    np.testing.assert_allclose(once.losses_, SparseClassifierCV([2, 3], cv=3).fit(X, labels, weight).losses_, rtol=1e-9)
    with pytest.raises(ValueError, match="class_weight"):
        SparseClassifier(3, class_weight="even").fit(X, labels)


@pytest.mark.parametrize("model", EVERY, ids=lambda model: type(model).__name__)
def test_frames_with_names_and_no_warning(model):
    pandas = pytest.importorskip("pandas")
    X, y, labels = data()
    frame = pandas.DataFrame(X, columns=[f"x{j}" for j in range(12)])
    found = clone(model).fit(frame, labels if "Classifier" in type(model).__name__ else y)
    np.testing.assert_allclose(outcome(found), outcome(fitted(clone(model))), rtol=1e-12)


def test_a_constant_column_in_a_pipeline():
    X, y, _ = data()
    made = make_pipeline(StandardScaler(), PolynomialFeatures(2), SparseRegressor(3)).fit(X, y)  # its first is constant
    assert set(made[1].get_feature_names_out()[made[-1].support_]) == {"x1", "x4", "x7"}


def test_groups_are_routed(routing):
    X, y, groups = grouped_data()
    model = SparseRegressorCV([1, 2], cv=GroupKFold(3)).set_fit_request(groups=True)
    found = cross_validate(
        make_pipeline(StandardScaler(), model), X, y, params={"groups": groups}, cv=GroupKFold(5), error_score="raise"
    )
    assert len(found["test_score"]) == 5


def test_folds_of_classes_are_stratified():
    """One in twelve is positive: without strata some folds would have none."""
    X, y = data(seed=1)[0], np.arange(120) % 12 == 0
    model = SparseClassifierCV([0, 1], cv=5).fit(X, y)
    same = SparseClassifierCV([0, 1], cv=list(StratifiedKFold(5).split(X, y))).fit(X, y)
    np.testing.assert_array_equal(model.losses_, same.losses_)
    first, test = next(StratifiedKFold(5).split(X, y))
    problem = Logistic(X[first], y[first], 1e-3)
    score = X[test] @ (x := sparsopt.solve(problem, 1, "replacement").x) + problem.intercept(x)
    assert model.losses_[0, 1] == pytest.approx(np.mean(np.logaddexp(0, np.where(y[test], -score, score))), rel=1e-6)


def test_groups_stay_together_in_our_own_folds():
    X, y, groups = grouped_data()
    parts = sparsopt.CrossValidation(4).parts(y, groups)
    assert sorted(np.concatenate(parts).tolist()) == list(range(120))
    assert sorted(len(np.unique(groups[part])) for part in parts) == [2, 2, 3, 3]
    assert sum(len(np.unique(groups[part])) for part in parts) == 10
    np.testing.assert_array_equal(
        sparsopt.CrossValidation(4).parts(y, range(120))[0], sparsopt.CrossValidation(4).parts(y)[0]
    )
    apart = sparsopt.choose(sparsopt.Data(X, y, groups=groups), range(3), sparsopt.CrossValidation(5))
    assert apart.scores[1] > 1.2 * sparsopt.choose(sparsopt.Data(X, y), range(3), sparsopt.CrossValidation(5)).scores[1]
    with pytest.raises(InvalidInput, match="folds = 4 for 3 groups"):
        sparsopt.CrossValidation(4).parts(y, groups % 3)
    with pytest.raises(InvalidInput, match="groups has 2 entries for 120 rows"):
        sparsopt.CrossValidation(4).parts(y, [0, 1])


def test_two_jobs_find_what_one_finds():
    X, y, _ = data()
    grids = [
        GridSearchCV(SparseRegressor(), {"k": [1, 3], "method": ["omp", "auto"]}, cv=3, n_jobs=jobs).fit(X, y)
        for jobs in (1, 2)
    ]
    one, two = (grid.cv_results_["mean_test_score"] for grid in grids)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(grids[0].best_estimator_.coef_, grids[1].best_estimator_.coef_)
