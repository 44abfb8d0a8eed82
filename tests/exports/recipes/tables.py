"""Models of tables: scikit-learn through skl2onnx, XGBoost and LightGBM through onnxmltools."""

import lightgbm
import numpy as np
import onnxmltools
import skl2onnx
import sklearn
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as LearnerFloats
from skl2onnx.common import tree_ensemble
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (
    calibration, compose, cross_decomposition, decomposition, discriminant_analysis, ensemble, feature_extraction, feature_selection, gaussian_process, impute, linear_model, multiclass,
    multioutput, naive_bayes, neighbors, neural_network, pipeline, preprocessing, svm, tree)  # fmt: skip
from sklearn.gaussian_process import kernels

from recipes.product import Product, recipe

FEATURES = 5


def add_node(*arguments, nodes_missing_value_tracks_true=False, original=tree_ensemble.add_node, **rest):
    """skl2onnx 1.20 hands scikit-learn's truth values over, and onnx 1.22 takes whole numbers only."""
    return original(*arguments, nodes_missing_value_tracks_true=int(nodes_missing_value_tracks_true), **rest)


tree_ensemble.add_node = add_node
OPSET = {"": 17, "ai.onnx.ml": 3}


def table(rows, seed=0, missing=0.0):
    """Features, three classes and a number that a model can learn."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(rows, FEATURES)).astype(np.float32)
    number = x[:, 0] + x[:, 1] * x[:, 2] + 0.2 * draw.normal(size=rows)
    x[draw.random(x.shape) < missing] = np.nan
    return x, np.digitize(number, [-0.6, 0.6]), number


def tables(missing=0.0):
    return [table(rows, 100 + rows, missing)[0] for rows in (1, 7, 20)]


def column(values):
    return np.asarray(values, np.float32).reshape(len(values), -1)


ANSWERS = {
    "classes": lambda model, x: [model.predict(x), model.predict_proba(x).astype(np.float32)],
    "scores": lambda model, x: [model.predict(x), model.decision_function(x).astype(np.float32)],
    "number": lambda model, x: [column(model.predict(x))],
    "transformed": lambda model, x: [np.asarray(model.transform(x), np.float32)],
    "labels": lambda model, x: [model.predict(x), [p.astype(np.float32) for p in model.predict_proba(x)]],
    "outliers": lambda model, x: [model.predict(x).reshape(-1, 1), column(model.decision_function(x))],
}


def from_sklearn(model, answer, cases, options=None, opset=OPSET):
    if options is None:
        options = {id(model): {"zipmap": False}} if answer in ("classes", "labels") else {id(model): {"raw_scores": True}} if answer == "scores" else None
    proto = skl2onnx.to_onnx(model, initial_types=[("x", FloatTensorType([None, FEATURES]))], options=options, target_opset=opset)
    return Product(proto, [[x] for x in cases], [ANSWERS[answer](model, x) for x in cases], f"skl2onnx {skl2onnx.__version__}", f"scikit-learn {sklearn.__version__}")


def learner(name, make, answer, missing=0.0, target="classes", **rest):
    def build():
        x, classes, number = table(200, missing=missing)
        y = {"classes": classes, "two": (classes > 0).astype(int), "number": number, "numbers": np.stack([number, -2 * number + x[:, 0]], 1), "labels": np.stack([classes > 0, number > 0], 1).astype(int), "positive": np.exp(number)}[target]
        return from_sklearn(make().fit(np.abs(x) if rest.get("positive") else x, y), answer, [np.abs(c) if rest.get("positive") else c for c in tables(missing)], rest.get("options"), rest.get("opset", OPSET))

    recipe(f"sk_{name}", f"scikit-learn: {name.replace('_', ' ')}{', with missing values' * bool(missing)}")(build)


small = dict(random_state=0)
learner("hist_gradient_boosting", lambda: ensemble.HistGradientBoostingClassifier(max_iter=5, max_leaf_nodes=8, **small), "classes", missing=0.2)
learner("hist_gradient_boosting_regressor", lambda: ensemble.HistGradientBoostingRegressor(max_iter=10, max_leaf_nodes=8, **small), "number", missing=0.2, target="number")
learner("gradient_boosting", lambda: ensemble.GradientBoostingClassifier(n_estimators=5, **small), "classes")
learner("extra_trees", lambda: ensemble.ExtraTreesClassifier(6, max_depth=5, **small), "classes")
learner("extra_trees_regressor", lambda: ensemble.ExtraTreesRegressor(6, max_depth=5, **small), "number", target="numbers")
learner("decision_tree", lambda: tree.DecisionTreeRegressor(max_depth=5), "number", target="numbers")
learner("ada_boost", lambda: ensemble.AdaBoostClassifier(n_estimators=5, **small), "classes")
learner("ada_boost_regressor", lambda: ensemble.AdaBoostRegressor(n_estimators=5, **small), "number", target="number")
learner("bagging", lambda: ensemble.BaggingClassifier(linear_model.LogisticRegression(), 3, max_features=0.8, **small), "classes")
learner("stacking", lambda: ensemble.StackingClassifier([("a", tree.DecisionTreeClassifier(max_depth=3)), ("b", neighbors.KNeighborsClassifier(3))], cv=3), "classes")
learner("gaussian_process", lambda: gaussian_process.GaussianProcessRegressor(kernels.ConstantKernel(1.0) * kernels.RBF(1.5) + kernels.WhiteKernel(0.1), optimizer=None), "number", target="number")
learner("mlp", lambda: neural_network.MLPClassifier(hidden_layer_sizes=(8, 6), activation="tanh", max_iter=60, **small), "classes")
learner("mlp_regressor", lambda: neural_network.MLPRegressor(hidden_layer_sizes=(8,), activation="logistic", max_iter=60, **small), "number", target="number")
learner("gaussian_bayes", naive_bayes.GaussianNB, "classes")
learner("multinomial_bayes", naive_bayes.MultinomialNB, "classes", positive=True)
learner("bernoulli_bayes", lambda: naive_bayes.BernoulliNB(binarize=0.2), "classes")
learner("linear_discriminant", discriminant_analysis.LinearDiscriminantAnalysis, "classes")
learner("voting", lambda: ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())], voting="soft", flatten_transform=False), "classes")
learner("svr", lambda: svm.SVR(kernel="poly", degree=2), "number", target="number")
learner("svc_probability", lambda: svm.SVC(kernel="sigmoid", probability=True, **small), "classes")
learner("linear_svc", lambda: svm.LinearSVC(), "scores")
learner("one_class_svm", lambda: svm.OneClassSVM(nu=0.2), "outliers")
learner("calibrated", lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2), "classes")
learner("one_vs_rest", lambda: multiclass.OneVsRestClassifier(linear_model.LogisticRegression()), "classes")
learner("sgd", lambda: linear_model.SGDClassifier(loss="log_loss", **small), "classes")
learner("poisson", linear_model.PoissonRegressor, "number", target="two")
learner("ridge", lambda: linear_model.RidgeCV(), "number", target="numbers")
learner("bayesian_ridge", linear_model.BayesianRidge, "number", target="number")
learner("radius_classifier", lambda: neighbors.RadiusNeighborsClassifier(8.0), "classes")
learner("local_outliers", lambda: neighbors.LocalOutlierFactor(5, novelty=True), "outliers")
learner("multi_output", lambda: multioutput.MultiOutputRegressor(linear_model.Lasso(0.01)), "number", target="numbers")
learner("pls", lambda: cross_decomposition.PLSRegression(2), "number", target="numbers")
learner("iterative_pipeline", lambda: pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.PolynomialFeatures(2), preprocessing.StandardScaler(), linear_model.Ridge()), "number", missing=0.1, target="number")
learner("bins", lambda: preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), "transformed")
learner("quantile_transformer", lambda: preprocessing.QuantileTransformer(n_quantiles=20), "transformed")
learner("power_transformer", preprocessing.PowerTransformer, "transformed")
learner("robust_scaler", preprocessing.RobustScaler, "transformed")
learner("truncated_svd", lambda: decomposition.TruncatedSVD(3, **small), "transformed")
learner("kernel_pca", lambda: decomposition.KernelPCA(3, kernel="rbf"), "transformed")
learner("incremental_pca", lambda: decomposition.IncrementalPCA(3), "transformed")
learner("select_best", lambda: feature_selection.SelectKBest(k=2), "transformed")
learner("nu_svc", lambda: svm.NuSVC(kernel="poly", degree=2, probability=True, **small), "classes", target="two")
learner("gamma", linear_model.GammaRegressor, "number", target="positive")
learner("tweedie", lambda: linear_model.TweedieRegressor(power=1.5, link="log"), "number", target="positive")
learner("quantile", lambda: linear_model.QuantileRegressor(quantile=0.7, alpha=0.01), "number", target="number")
learner("ransac", lambda: linear_model.RANSACRegressor(**small), "number", target="number")
learner("knn_imputer", lambda: impute.KNNImputer(n_neighbors=3), "transformed", missing=0.2, opset={"": 18, "ai.onnx.ml": 3})
learner("recursive_elimination", lambda: pipeline.make_pipeline(feature_selection.RFE(linear_model.LinearRegression(), n_features_to_select=3), linear_model.ElasticNet(0.01)), "number", target="number")
learner("feature_union", lambda: pipeline.make_pipeline(
    pipeline.make_union(decomposition.PCA(2), preprocessing.MaxAbsScaler(), pipeline.make_pipeline(preprocessing.Binarizer(), preprocessing.Normalizer("l1"))), ensemble.RandomForestRegressor(5, max_depth=4, **small)),
    "number", target="numbers")  # fmt: skip
learner("splines_and_logistic", lambda: pipeline.make_pipeline(preprocessing.PolynomialFeatures(2, interaction_only=True), preprocessing.StandardScaler(), linear_model.LogisticRegression()), "classes")
learner("multi_label", lambda: multioutput.MultiOutputClassifier(linear_model.LogisticRegression()), "labels", target="labels")
learner("random_trees_embedding", lambda: ensemble.RandomTreesEmbedding(4, max_depth=3, sparse_output=False, **small), "transformed")

CITIES = np.array(["Oslo", "Quito", "Hanoi", "Lagos"], object)


def people(rows):
    draw = np.random.default_rng(rows)
    numbers = draw.normal(size=(rows, 2)).astype(np.float32)
    numbers[draw.random(numbers.shape) < 0.1] = np.nan
    return numbers, CITIES[draw.integers(0, 4, (rows, 1))], draw.integers(0, 3, (rows, 1))


@recipe("sk_column_transformer", "scikit-learn: imputed and scaled numbers, encoded strings and integers, a forest")
def columns():
    import pandas

    def frame(rows):
        numbers, city, kind = people(rows)
        return pandas.DataFrame({"age": numbers[:, 0], "height": numbers[:, 1], "city": city[:, 0], "kind": kind[:, 0]})

    scaled = pipeline.make_pipeline(impute.SimpleImputer(add_indicator=False), preprocessing.MinMaxScaler())
    encoded = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    model = pipeline.make_pipeline(
        compose.ColumnTransformer([("numbers", scaled, ["age", "height"]), ("city", encoded, ["city"]), ("kind", preprocessing.OrdinalEncoder(), ["kind"])]),
        ensemble.RandomForestClassifier(5, max_depth=4, random_state=0))  # fmt: skip
    data = frame(200)
    model.fit(data, np.where(data["age"].fillna(0) > 0, data["city"], "none"))
    types = [("age", FloatTensorType([None, 1])), ("height", FloatTensorType([None, 1])), ("city", StringTensorType([None, 1])), ("kind", Int64TensorType([None, 1]))]
    proto = skl2onnx.to_onnx(model, initial_types=types, options={id(model): {"zipmap": False}}, target_opset=OPSET)
    cases, expected = [], []
    for rows in (1, 9):
        numbers, city, kind = people(rows)
        cases.append([numbers[:, :1], numbers[:, 1:], city, kind])
        expected.append([model.predict(frame(rows)).astype(object), model.predict_proba(frame(rows)).astype(np.float32)])
    return Product(proto, cases, expected, f"skl2onnx {skl2onnx.__version__}", f"scikit-learn {sklearn.__version__}")


@recipe("sk_text_counts", "scikit-learn: CountVectorizer of letters and words, naive Bayes; string input")
def text_counts():
    words = "the cat dog sat ran on under big small mat hill quickly and slowly".split()

    def sentences(count):
        draw = np.random.default_rng(count)
        return np.array([" ".join(draw.choice(words, draw.integers(3, 9))) for _ in range(count)], object)

    model = pipeline.make_pipeline(feature_extraction.text.CountVectorizer(ngram_range=(1, 2), lowercase=False), naive_bayes.MultinomialNB())
    model.fit(sentences(150), ["cat" if "cat" in text else "none" for text in sentences(150)])
    proto = skl2onnx.to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], options={id(model): {"zipmap": False}}, target_opset=OPSET)
    cases = [sentences(n) for n in (1, 5)]
    return Product(proto, [[c.reshape(-1, 1)] for c in cases], [ANSWERS["classes"](model, c) for c in cases], f"skl2onnx {skl2onnx.__version__}", f"scikit-learn {sklearn.__version__}")


# ---------------------------------------------------------------- boosted trees


def boosted(name, what, convert, make, answer, origin, target="classes", missing=0.2):
    def build():
        x, classes, number = table(250, missing=missing)
        model = make().fit(x, {"classes": classes, "two": (classes > 0).astype(int), "number": number}[target])
        proto = convert(model, initial_types=[("x", LearnerFloats([None, FEATURES]))], target_opset=15)
        cases = tables(missing)
        return Product(proto, [[x] for x in cases], [ANSWERS[answer](model, x) for x in cases], f"onnxmltools {onnxmltools.__version__}", origin)

    recipe(name, what)(build)


XGBOOST, LIGHTGBM = f"xgboost {xgboost.__version__}", f"lightgbm {lightgbm.__version__}"
few = dict(n_estimators=6, max_depth=4, n_jobs=1)
xgb = onnxmltools.convert_xgboost


def lgbm(model, **rest):
    return onnxmltools.convert_lightgbm(model, zipmap=False, **rest)


boosted("xgboost_multiclass", "XGBoost, three classes, missing values", xgb, lambda: xgboost.XGBClassifier(**few), "classes", XGBOOST)
boosted("xgboost_binary", "XGBoost, two classes, missing values", xgb, lambda: xgboost.XGBClassifier(**few, base_score=0.3), "classes", XGBOOST, "two")
boosted("xgboost_forest", "XGBoost random forest regressor", xgb, lambda: xgboost.XGBRFRegressor(n_estimators=6, max_depth=4, n_jobs=1), "number", XGBOOST, "number")
boosted("xgboost_poisson", "XGBoost, count:poisson", xgb, lambda: xgboost.XGBRegressor(**few, objective="count:poisson"), "number", XGBOOST, "two")
boosted("lightgbm_multiclass", "LightGBM, three classes, missing values", lgbm, lambda: lightgbm.LGBMClassifier(**few, verbose=-1), "classes", LIGHTGBM)
boosted("lightgbm_binary", "LightGBM, two classes, missing values", lgbm, lambda: lightgbm.LGBMClassifier(**few, verbose=-1), "classes", LIGHTGBM, "two")
boosted("lightgbm_regressor", "LightGBM regressor, extra trees, missing values", lgbm, lambda: lightgbm.LGBMRegressor(**few, verbose=-1, extra_trees=True), "number", LIGHTGBM, "number")
boosted("lightgbm_zero_missing", "LightGBM, zero counts as missing", lgbm, lambda: lightgbm.LGBMClassifier(**few, verbose=-1, zero_as_missing=True), "classes", LIGHTGBM, "classes", 0.0)
boosted("lightgbm_dart", "LightGBM, dart, missing values", lgbm, lambda: lightgbm.LGBMRegressor(**few, verbose=-1, boosting_type="dart"), "number", LIGHTGBM, "number")
boosted("lightgbm_tweedie", "LightGBM, tweedie", lgbm, lambda: lightgbm.LGBMRegressor(**few, verbose=-1, objective="tweedie"), "number", LIGHTGBM, "two")
boosted("xgboost_many_trees", "XGBoost, 60 deep trees", xgb, lambda: xgboost.XGBClassifier(n_estimators=60, max_depth=7, n_jobs=1), "classes", XGBOOST)
