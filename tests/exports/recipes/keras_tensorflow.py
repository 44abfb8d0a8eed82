"""Keras models and TensorFlow functions through tf2onnx."""

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers

from recipes.product import Product, recipe

EXPORTER = f"tf2onnx {tf2onnx.__version__}, tensorflow {tf.__version__}"


def enliven(model):
    """No bias, gain or statistic stays at 0 or 1."""
    for weight in model.weights:
        if weight.path.endswith(("bias", "beta", "gamma", "moving_mean")):
            weight.assign(weight + 0.1 * np.random.standard_normal(weight.shape))
        elif weight.path.endswith("moving_variance"):
            weight.assign(weight * np.random.uniform(0.5, 1.5, weight.shape))
    return model


def arrays(outputs):
    return [np.asarray(value) for value in tf.nest.flatten(outputs)]


def from_function(function, signature, cases, opset=17, **fields):
    """signature: TensorSpecs. cases: lists of arrays."""
    model, _ = tf2onnx.convert.from_function(tf.function(function), input_signature=signature, opset=opset)
    return Product(model, cases, [arrays(function(*map(tf.constant, case))) for case in cases], EXPORTER, f"tensorflow {tf.__version__}", **fields)


def from_keras(model, cases, opset=17, **fields):
    enliven(model)
    signature = [tf.TensorSpec(value.shape, value.dtype, name=value.name) for value in model.inputs]
    return from_function(lambda *values: model(list(values) if len(values) > 1 else values[0], training=False), signature, cases, opset, **fields)


def floats(*shape):
    return np.random.standard_normal(shape).astype(np.float32)


def words(vocabulary, *shape):
    return np.random.randint(1, vocabulary, shape).astype(np.int32)


def gelu(x):
    """By tanh; the exact one is an operator (Erfc) that tf2onnx lacks."""
    return keras.activations.gelu(x, approximate=True)


# ---------------------------------------------------------------- images


@recipe("keras_cnn", "Keras CNN: strided 'same' convolutions, separable convolution, batch norm, pools")
def cnn():
    model = keras.Sequential([
        layers.Input((28, 28, 1)), layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU(6.0),
        layers.SeparableConv2D(12, 3, padding="same", activation="selu"), layers.MaxPooling2D(3, 2, "same"), layers.AveragePooling2D(2, padding="same"),
        layers.LayerNormalization(), layers.PReLU(shared_axes=[1, 2]), layers.Flatten(), layers.Dropout(0.3), layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    return from_keras(model, [[floats(1, 28, 28, 1)], [floats(3, 28, 28, 1)]])


def inverted_residual(x, filters, stride, expansion=4):
    inside = x.shape[-1]
    y = layers.Conv2D(inside * expansion, 1, use_bias=False)(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    if stride == 2:
        y = layers.ZeroPadding2D(((0, 1), (0, 1)))(y)
    y = layers.DepthwiseConv2D(3, stride, "valid" if stride == 2 else "same", use_bias=False)(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(filters, 1, use_bias=False)(y))
    return layers.Add()([x, y]) if stride == 1 and inside == filters else y


@recipe("keras_inverted_residuals", "MobileNetV2's blocks in Keras' functional form, any image size")
def inverted_residuals():
    image = layers.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, 2, "same", use_bias=False)(x)))
    for filters, stride in [(8, 1), (12, 2), (12, 1), (16, 2)]:
        x = inverted_residual(x, filters, stride)
    x = layers.Dense(7)(layers.GlobalAveragePooling2D()(x))
    return from_keras(keras.Model(image, x), [[127 * np.abs(floats(1, 32, 32, 3))], [127 * np.abs(floats(2, 37, 50, 3))]])


@recipe("keras_mobilenet_v2", "keras.applications.MobileNetV2, alpha 0.35")
def mobilenet_v2():
    model = keras.applications.MobileNetV2((64, 64, 3), alpha=0.35, weights=None, classes=10, classifier_activation=None)
    return from_keras(model, [[floats(1, 64, 64, 3)], [floats(2, 64, 64, 3)]])


@recipe("keras_mobilenet_v3", "keras.applications.MobileNetV3Small, minimalistic off")
def mobilenet_v3():
    model = keras.applications.MobileNetV3Small((64, 64, 3), alpha=0.75, weights=None, classes=10, classifier_activation=None)
    return from_keras(model, [[128 + 60 * floats(1, 64, 64, 3)], [128 + 60 * floats(2, 64, 64, 3)]])


@recipe("keras_densenet", "keras.applications.DenseNet121")
def densenet():
    model = keras.applications.DenseNet121(input_shape=(64, 64, 3), weights=None, classes=10, classifier_activation=None)
    return from_keras(model, [[floats(1, 64, 64, 3)]])


@recipe("keras_unet", "U-Net: Conv2DTranspose, bilinear and nearest UpSampling2D, concatenation, group norm")
def unet():
    image = layers.Input((None, None, 3))
    first = layers.Conv2D(6, 3, padding="same", activation=gelu)(image)
    second = layers.GroupNormalization(2)(layers.Conv2D(8, 3, 2, padding="same", activation="swish")(first))
    third = layers.Conv2D(10, 3, 2, padding="same", dilation_rate=1, activation="elu")(second)
    x = layers.concatenate([layers.Conv2DTranspose(8, 3, 2, padding="same", activation="relu")(third), second])
    x = layers.Conv2D(6, 3, padding="same", dilation_rate=2, activation="leaky_relu")(x)
    x = layers.concatenate([layers.UpSampling2D(2, interpolation="bilinear")(x), layers.UpSampling2D(4)(layers.Conv2D(2, 1)(third)), first])
    x = layers.Conv2D(4, 1, activation="softmax")(x)
    return from_keras(keras.Model(image, x), [[floats(1, 16, 24, 3)], [floats(2, 8, 8, 3)]])


@recipe("keras_conv3d", "Conv3D, Conv1D over time, MaxPooling3D, UpSampling3D")
def conv3d():
    clip = layers.Input((8, 12, 12, 2))
    x = layers.Conv3D(6, 3, (1, 2, 2), "same", activation="relu")(clip)
    x = layers.UpSampling3D((1, 2, 2))(layers.MaxPooling3D(2)(x))
    x = layers.Reshape((4, -1))(x)
    x = layers.Conv1D(8, 3, padding="causal", activation="tanh")(x)
    return from_keras(keras.Model(clip, x), [[floats(1, 8, 12, 12, 2)], [floats(2, 8, 12, 12, 2)]])


class Detector(tf.Module):
    """A head whose boxes pass non-maximum suppression: the number of answers depends on the data."""

    def __init__(self):
        self.weights = floats(3, 3, 3, 9) * 0.5  # NumPy's: what TensorFlow captures would become an input

    def __call__(self, image):
        image = tf.image.resize(image, (24, 24), method="bilinear")
        raw = tf.reshape(tf.nn.conv2d(image, self.weights, 4, "SAME"), (-1, 9))
        centre, size = tf.sigmoid(raw[:, :2]), tf.exp(raw[:, 2:4] * 0.2) * 0.3
        boxes = tf.concat([centre - size / 2, centre + size / 2], 1)
        scores = tf.nn.softmax(raw[:, 4:])
        best, label = tf.reduce_max(scores, 1), tf.argmax(scores, 1, tf.int32)
        chosen = tf.image.non_max_suppression(boxes, best, 12, 0.4, 0.25)
        return tf.gather(boxes, chosen), tf.gather(best, chosen), tf.gather(label, chosen)


@recipe("tf_detector", "tf.image.resize, convolution, tf.image.non_max_suppression")
def detector():
    return from_function(Detector(), [tf.TensorSpec((1, None, None, 3), tf.float32)], [[floats(1, 30, 40, 3)], [floats(1, 19, 24, 3)]])


@recipe("tf_crop_and_resize", "tf.image.crop_and_resize, nearest resize, depth_to_space, space_to_batch")
def crops():
    def crop(image, boxes, which):
        patches = tf.image.crop_and_resize(image, boxes, which, (6, 5))
        small = tf.image.resize(image, (9, 7), method="nearest")
        return patches, small, tf.nn.depth_to_space(image, 2), tf.nn.space_to_depth(image, 2)

    boxes = np.array([[0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0], [0.5, 0.4, 0.2, 1.0]], np.float32)
    signature = [tf.TensorSpec((None, 12, 16, 4), tf.float32), tf.TensorSpec((None, 4), tf.float32), tf.TensorSpec((None,), tf.int32)]
    return from_function(crop, signature, [[floats(2, 12, 16, 4), boxes, np.array([0, 1, 0], np.int32)]])


# ---------------------------------------------------------------- sequences


def text_model(recurrent, **embedding):
    text = layers.Input((None,), dtype="int32")
    x = layers.Embedding(40, 10, **embedding)(text)
    for layer in recurrent:
        x = layer(x)
    return keras.Model(text, layers.Dense(3, activation="softmax")(x))


TEXTS = [(1, 1), (1, 7), (3, 12)]


@recipe("keras_bilstm", "Embedding, two Bidirectional LSTMs, Dense")
def bilstm():
    model = text_model([layers.Bidirectional(layers.LSTM(8, return_sequences=True)), layers.Bidirectional(layers.LSTM(6))])
    return from_keras(model, [[words(40, *shape)] for shape in TEXTS])


@recipe("keras_bigru", "Embedding, Bidirectional GRUs (reset before and after the product)")
def bigru():
    model = text_model([layers.Bidirectional(layers.GRU(8, return_sequences=True)), layers.Bidirectional(layers.GRU(6, reset_after=False))])
    return from_keras(model, [[words(40, *shape)] for shape in TEXTS])


@recipe("keras_masked_lstm", "Embedding with mask_zero, LSTM: padded steps leave the state as it is")
def masked_lstm():
    model = text_model([layers.LSTM(8)], mask_zero=True)
    padded = words(40, 3, 9)
    padded[1, 4:] = 0
    padded[2, 7:] = 0
    return from_keras(model, [[padded], [words(40, 1, 5)]])


@recipe("keras_rnn_unrolled", "SimpleRNN unrolled, GRU with go_backwards, their states as outputs")
def rnn():
    steps = layers.Input((6, 5))
    x = layers.SimpleRNN(7, return_sequences=True, unroll=True)(steps)
    y, state = layers.GRU(5, return_state=True, go_backwards=True)(x)
    z, hidden, cell = layers.LSTM(4, return_state=True, return_sequences=True)(x)
    return from_keras(keras.Model(steps, [y, z, hidden, cell]), [[floats(1, 6, 5)], [floats(3, 6, 5)]])


@recipe("keras_conv_lstm", "ConvLSTM2D: a loop around convolutions")
def conv_lstm():
    clip = layers.Input((4, 8, 8, 2))
    return from_keras(keras.Model(clip, layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(clip)), [[floats(2, 4, 8, 8, 2)]])


@recipe("keras_transformer", "MultiHeadAttention with a causal and a padding mask, LayerNormalization, GELU, residuals")
def transformer():
    text = layers.Input((None,), dtype="int32")
    x = layers.Embedding(40, 16, mask_zero=True)(text)
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 4)(y, y, use_causal_mask=True)])
        y = layers.Dense(32, activation=gelu)(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(16)(y)])
    padded = words(40, 2, 9)
    padded[1, 6:] = 0
    return from_keras(keras.Model(text, layers.Dense(5)(layers.GlobalAveragePooling1D()(x))), [[padded], [words(40, 1, 4)]])


@recipe("keras_attention_seq2seq", "GRU encoder and decoder with Keras' (dot and additive) Attention")
def seq2seq():
    source, target = layers.Input((None, 6)), layers.Input((None, 6))
    memory, state = layers.GRU(8, return_sequences=True, return_state=True)(source)
    steps = layers.GRU(8, return_sequences=True)(target, initial_state=state)
    seen = layers.concatenate([steps, layers.Attention()([steps, memory]), layers.AdditiveAttention()([steps, memory])])
    model = keras.Model([source, target], layers.Dense(5, activation="log_softmax")(seen))
    return from_keras(model, [[floats(2, 7, 6), floats(2, 3, 6)], [floats(1, 1, 6), floats(1, 4, 6)]])


@recipe("tf_vit", "Vision transformer written in Keras: patches by a convolution, learned positions, class token")
def vit():
    class Token(layers.Layer):
        def build(self, shape):
            self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal", name="token")
            self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), initializer="random_normal", name="places")

        def call(self, x):
            return tf.concat([tf.repeat(self.token, tf.shape(x)[0], 0), x], 1) + self.places

    image = layers.Input((16, 16, 3))
    x = Token()(layers.Reshape((16, 16))(layers.Conv2D(16, 4, 4)(image)))
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(2, 8)(y, y)
        x = x + layers.Dense(16)(layers.Dense(24, activation=gelu)(layers.LayerNormalization()(x)))
    return from_keras(keras.Model(image, layers.Dense(5)(x[:, 0])), [[floats(1, 16, 16, 3)], [floats(2, 16, 16, 3)]])


# ---------------------------------------------------------------- TensorFlow's own operators


@recipe("tf_loops", "tf.while_loop with growing and fixed state, tf.cond, tf.map_fn")
def loops():
    def run(x, steps):
        count, total = tf.while_loop(lambda i, t: (i < steps) & (tf.reduce_sum(tf.abs(t)) < 50.0), lambda i, t: (i + 1, t * 1.3 + x), (tf.constant(0), x))
        chosen = tf.cond(tf.reduce_sum(x) > 0, lambda: tf.math.cumsum(x, 1), lambda: tf.sort(x, 1))
        rows = tf.map_fn(lambda row: tf.reduce_max(row) * row, x)
        return count, total, chosen, rows

    return from_function(run, [tf.TensorSpec((None, 4), tf.float32), tf.TensorSpec((), tf.int32)], [[floats(2, 4), np.array(5, np.int32)], [floats(3, 4), np.array(0, np.int32)]])


@recipe("tf_indexing", "gather_nd, scatter_nd, tensor_scatter_nd_update, where, boolean_mask, one_hot, top_k, strided_slice, unique, segment sums")
def indexing():
    def run(x, at):
        updated = tf.tensor_scatter_nd_update(x, at, tf.ones((tf.shape(at)[0],)))
        best, where = tf.math.top_k(x, 3)
        positive = tf.boolean_mask(x, x > 0)
        unique, index = tf.unique(tf.reshape(at, (-1,)))
        hot = tf.one_hot(at[:, 1], 5, 2.0, -1.0)
        return updated, best, where, tf.gather_nd(x, at), tf.where(x > 0.3), positive, unique, index, hot, x[::-1, 1:-1:2], tf.reverse(x, [1]), tf.roll(x, 2, 1)

    return from_function(run, [tf.TensorSpec((None, 6), tf.float32), tf.TensorSpec((None, 2), tf.int32)], [[floats(4, 6), words(4, 3, 2)]])


@recipe("tf_mathematics", "einsum, batched matmul, reductions, softmax variants, erf, clip, norms, dtypes")
def mathematics():
    def run(x, n):
        y = tf.einsum("bij,bkj->bik", x, x)
        z = tf.matmul(x, x, transpose_b=True) / tf.norm(x, axis=-1, keepdims=True)
        return (
            y, z, tf.math.erf(x), tf.nn.log_softmax(x), tf.math.softplus(x), tf.nn.l2_normalize(x, -1),
            tf.reduce_logsumexp(x, 1), tf.math.reduce_std(x, [1, 2]), tf.argmin(x, 2), tf.cast(x * 3, tf.int32), tf.math.atan2(x, x + 2), tf.cast(n, tf.float32) ** 3,
            tf.math.cumprod(x, 2, exclusive=True, reverse=True), tf.pad(x, [[0, 0], [1, 2], [2, 1]], "REFLECT"), tf.math.rsqrt(x * x + 1), tf.round(x * 2),
        )  # fmt: skip

    return from_function(run, [tf.TensorSpec((None, 3, 4), tf.float32), tf.TensorSpec((None,), tf.int32)], [[floats(2, 3, 4), np.arange(-7, 8, dtype=np.int32)]])


@recipe("tf_spectrum", "frames, a window, rfft, a mel-like matrix, log")
def spectrum():
    mel = np.abs(floats(17, 8))

    def run(samples):
        frames = tf.signal.frame(samples, 32, 16) * tf.signal.hann_window(32)
        return tf.math.log(tf.matmul(tf.abs(tf.signal.rfft(frames, [32])) ** 2, mel) + 1e-3)

    return from_function(run, [tf.TensorSpec((1, 200), tf.float32)], [[floats(1, 200)]])


# ---------------------------------------------------------------- TensorFlow Lite


def lite_product(model, cases, quantised, what_close):
    enliven(model)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantised:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for case in cases for sample in [case[0]] * 3)
    flat = converter.convert()
    proto, _ = from_flatbuffer(flat)
    interpreter = tf.lite.Interpreter(model_content=flat)
    expected = []
    for case in cases:
        interpreter.allocate_tensors()
        for detail, value in zip(interpreter.get_input_details(), case):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        expected.append([interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()])
    return Product(proto, cases, expected, EXPORTER + ", TensorFlow Lite", f"tensorflow {tf.__version__} Lite", atol=what_close)


def from_flatbuffer(flat):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(flat)
        return tf2onnx.convert.from_tflite(str(path), opset=17)


def small_lite_model():
    image = layers.Input((16, 16, 3), batch_size=1)
    x = layers.Conv2D(8, 3, 2, "same", activation="relu6")(image)
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)])
    x = layers.MaxPooling2D(2)(x)
    return keras.Model(image, layers.Dense(6, activation="softmax")(layers.Flatten()(x)))


@recipe("tflite_cnn", "Keras CNN through TensorFlow Lite's converter")
def lite():
    return lite_product(small_lite_model(), [[floats(1, 16, 16, 3)], [floats(1, 16, 16, 3)]], False, 1e-4)


@recipe("tflite_cnn_int8", "the same with integers of 8 bits: QuantizeLinear and DequantizeLinear")
def lite_int8():
    return lite_product(small_lite_model(), [[floats(1, 16, 16, 3)], [floats(1, 16, 16, 3)]], True, 0.02)
