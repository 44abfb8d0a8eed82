/// What can go wrong, as exceptions by kind.
library;

/// A call that failed. [message] is a sentence for a developer that names the problem and what to do.
sealed class LinnetException implements Exception {
  const LinnetException(this.message, {this.model = '', this.node = '', this.inputs = ''});

  final String message;

  /// The file name of the model, or `''` when no model was in play.
  final String model;

  /// The path of the model's node that failed, such as `graph/conv1 (Conv)`, or `''`.
  final String node;

  /// The types and shapes that reached that node, such as `float[2x3], int64[1]`, or `''`.
  final String inputs;

  @override
  String toString() => '$runtimeType: ${model.isEmpty ? '' : '$model: '}$message';
}

/// The caller's inputs, names, shapes or options do not fit the model.
final class LinnetInvalidArgument extends LinnetException {
  const LinnetInvalidArgument(super.message, {super.model, super.node, super.inputs});
}

/// The file is no valid ONNX model.
final class LinnetInvalidModel extends LinnetException {
  const LinnetInvalidModel(super.message, {super.model, super.node, super.inputs});
}

/// The model is valid, but asks for something that Linnet cannot do.
final class LinnetUnsupported extends LinnetException {
  const LinnetUnsupported(super.message, {super.model, super.node, super.inputs});
}

/// A file or a name that is not there.
final class LinnetNotFound extends LinnetException {
  const LinnetNotFound(super.message, {super.model, super.node, super.inputs});
}

/// Reading failed.
final class LinnetIoFailure extends LinnetException {
  const LinnetIoFailure(super.message, {super.model, super.node, super.inputs});
}

/// The system, or the engine's limit, refused memory.
final class LinnetOutOfMemory extends LinnetException {
  const LinnetOutOfMemory(super.message, {super.model, super.node, super.inputs});
}

/// A `CancelToken` was cancelled.
final class LinnetCancelled extends LinnetException {
  const LinnetCancelled(super.message, {super.model, super.node, super.inputs});
}

/// The run did not end within its `timeout`.
final class LinnetTimeout extends LinnetException {
  const LinnetTimeout(super.message, {super.model, super.node, super.inputs});
}

/// Something was used after its `close()`.
final class LinnetClosed extends LinnetException {
  const LinnetClosed(super.message, {super.model, super.node, super.inputs});
}

/// The native library is not there, or is another version than this package needs.
final class LinnetLibraryMissing extends LinnetException {
  const LinnetLibraryMissing(super.message);
}

/// A defect of Linnet: please report it.
final class LinnetInternalError extends LinnetException {
  const LinnetInternalError(super.message, {super.model, super.node, super.inputs});
}

/// The exception for a `linnet_code`.
LinnetException exceptionFor(int code, String message, {String model = '', String node = '', String inputs = ''}) {
  final make = switch (code) {
    1 => LinnetInvalidArgument.new,
    2 => LinnetInvalidModel.new,
    3 => LinnetUnsupported.new,
    4 => LinnetNotFound.new,
    5 => LinnetIoFailure.new,
    6 => LinnetOutOfMemory.new,
    7 => LinnetCancelled.new,
    8 => LinnetTimeout.new,
    10 => LinnetClosed.new,
    _ => LinnetInternalError.new,
  };
  return make(message, model: model, node: node, inputs: inputs);
}
